package decode

import (
	"context"
	"encoding/binary"
	"errors"
	"image"

	"golang.org/x/image/webp"
)

// openWebP reads the chunks of a WebP: https://developers.google.com/speed/webp/docs/riff_container. Of
// an animation, the first frame alone is decoded, and lies on a white canvas where the file says.
func openWebP(data []byte) (stored, error) {
	p, err := readWebP(data)
	if err != nil {
		return stored{}, err
	}
	area := int64(p.width) * int64(p.height)
	s := stored{width: p.canvasWidth, height: p.canvasHeight, orientation: p.orientation, shrink: boxes}
	switch {
	case p.lossless: // NRGBA, and once more while colours of a palette are put in
		s.memory = 8*area + 8<<20
		s.worst = s.memory + min(140<<20, 128*int64(len(data))) // 2600 groups of Huffman trees
	case p.alpha: // planes of Y, Cb, Cr and alpha, which was itself decoded as a lossless picture
		s.memory = 7*area + 8<<20
		s.worst = s.memory + min(140<<20, 128*int64(len(data)))
	default:
		s.memory = 2*area + 1<<20
	}
	s.decode = func(ctx context.Context, w, h int) ([]byte, error) {
		m, err := webp.Decode(newReader(ctx, p.file))
		if err != nil {
			return nil, err
		}
		if b := m.Bounds(); b.Dx() != p.width || b.Dy() != p.height {
			return nil, errSizes
		}
		return onCanvas(webpRows(m), p.left, p.top, p.canvasWidth, p.canvasHeight).average(ctx, w, h)
	}
	return s, nil
}

// webpFile is what the chunks of a WebP say.
type webpFile struct {
	file                      []byte // a WebP with one picture
	width, height             int    // of the picture
	left, top                 int    // its place on the canvas
	canvasWidth, canvasHeight int
	alpha, lossless           bool
	orientation               int
}

// errCanvas is the error of a file that would be taken for a small one here, and for a large one by whoever decodes it.
var errCanvas = errors.New("it has a canvas behind its picture, or two")

// readWebP reads the chunks of a WebP. What it says of the size holds for the picture that is decoded from it: memory is taken by that.
func readWebP(data []byte) (webpFile, error) {
	p := webpFile{file: data}
	extended, found := false, false
	for rest := data[12:]; ; {
		name, chunk, after := nextChunk(rest)
		if name == "" {
			break
		}
		rest = after
		switch name {
		case "VP8X":
			if len(chunk) < 10 {
				return p, errEndsEarly
			}
			if found || extended {
				return p, errCanvas
			}
			extended, p.alpha = true, chunk[0]&0x10 != 0
			p.canvasWidth, p.canvasHeight = int(le24(chunk[4:]))+1, int(le24(chunk[7:]))+1
			p.width, p.height = p.canvasWidth, p.canvasHeight
		case "VP8 ", "VP8L":
			if found {
				continue
			}
			found = true
			w, h, err := webpSize(name, chunk)
			if err != nil {
				return p, err
			}
			if p.lossless = name == "VP8L"; !extended {
				p.canvasWidth, p.canvasHeight, p.width, p.height = w, h, w, h
			}
			if w != p.width || h != p.height {
				return p, errSizes
			}
		case "ANMF":
			if found || !extended {
				continue
			}
			found = true
			if err := p.readFrame(chunk); err != nil {
				return p, err
			}
		case "EXIF":
			if len(chunk) > 6 && string(chunk[:6]) == "Exif\x00\x00" { // some programs put JPEG's mark before it
				chunk = chunk[6:]
			}
			p.orientation = orientationOf(chunk)
		}
	}
	if !found {
		return p, errEndsEarly
	}
	return p, nil
}

// readFrame makes a WebP of its own of the first frame of an animation.
func (p *webpFile) readFrame(chunk []byte) error {
	if len(chunk) < 16 {
		return errEndsEarly
	}
	p.left, p.top = int(le24(chunk))*2, int(le24(chunk[3:]))*2
	p.width, p.height = int(le24(chunk[6:]))+1, int(le24(chunk[9:]))+1
	if p.left+p.width > p.canvasWidth || p.top+p.height > p.canvasHeight {
		return errors.New("its first frame is larger than its canvas")
	}
	name, picture, after := nextChunk(chunk[16:])
	if p.alpha = name == "ALPH"; p.alpha {
		name, picture, _ = nextChunk(after)
	}
	p.lossless = name == "VP8L"
	if name != "VP8 " && !p.lossless {
		return errors.New("its first frame has no picture")
	}
	if w, h, err := webpSize(name, picture); err != nil {
		return err
	} else if w != p.width || h != p.height {
		return errSizes
	}
	header := make([]byte, 10)
	if p.alpha {
		header[0] = 0x10
	}
	copy(header[4:], chunk[6:12])
	file := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00")
	file = append(append(file, header...), chunk[16:]...)
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	p.file = file
	return nil
}

// nextChunk returns the next chunk and what follows; name is "" where there is none, or it is cut short.
func nextChunk(data []byte) (name string, chunk, after []byte) {
	if len(data) < 8 {
		return "", nil, nil
	}
	n := int64(le32(data[4:]))
	name, data = string(data[:4]), data[8:]
	if n > int64(len(data)) {
		return "", nil, nil
	}
	return name, data[:n], data[min(n+n&1, int64(len(data))):]
}

// webpSize returns the size that the header of a VP8 frame (RFC 6386, section 9.1) or a VP8L one gives.
func webpSize(name string, chunk []byte) (w, h int, err error) {
	if len(chunk) < 10 {
		return 0, 0, errEndsEarly
	}
	if name == "VP8L" {
		v := le32(chunk[1:])
		return int(v&0x3fff) + 1, int(v>>14&0x3fff) + 1, nil
	}
	return int(le16(chunk[6:]) & 0x3fff), int(le16(chunk[8:]) & 0x3fff), nil
}

func le24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// webpRows is [rowsOf] for what x/image/webp returns. Its YCbCr pictures are not what package image takes YCbCr for:
// they have the narrow range of BT.601, and libwebp, which others use, smooths the colour planes.
func webpRows(m image.Image) rows {
	switch m := m.(type) {
	case *image.YCbCr:
		return rows{m.Rect.Dx(), m.Rect.Dy(), vp8Rows(m, nil, 0)}
	case *image.NYCbCrA:
		return rows{m.Rect.Dx(), m.Rect.Dy(), vp8Rows(&m.YCbCr, m.A, m.AStride)}
	}
	return rowsOf(m)
}
