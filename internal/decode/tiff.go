package decode

import (
	"context"
	"errors"
	"image"

	"golang.org/x/image/tiff"
)

// Tags of TIFF 6.0.
const (
	tagWidth        = 0x0100
	tagHeight       = 0x0101
	tagBits         = 0x0102
	tagCompression  = 0x0103
	tagPhotometric  = 0x0106
	tagRowsPerStrip = 0x0116
	tagPlanar       = 0x011c
	tagTileWidth    = 0x0142
	tagTileHeight   = 0x0143
	tagExtraSamples = 0x0152
)

// openTIFF reads the first directory of a TIFF (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf), whose
// picture is decoded; later pages are not looked at.
func openTIFF(data []byte) (stored, error) {
	dir, err := readDirectory(data)
	if err != nil {
		return stored{}, err
	}
	width, _ := dir.value(tagWidth)
	height, _ := dir.value(tagHeight)
	if width > 1<<24 || height > 1<<24 {
		width, height = min(width, 1<<24), min(height, 1<<24) // far over any limit, and safe to multiply
	}
	s := stored{width: int(width), height: int(height), orientation: orientationOf(data), shrink: boxes}
	bits := dir.values(tagBits, 16)
	photometric, _ := dir.value(tagPhotometric)
	compression, _ := dir.value(tagCompression)
	if err := tiffReadable(dir, bits, photometric, compression); err != nil {
		return stored{}, err
	}

	file, bytes := data, tiffBytes(bits)
	cmyk := photometric == 5
	if cmyk {
		if file, err = cmykAsRGBA(dir); err != nil {
			return stored{}, err
		}
		s.memory = int64(len(file))
	}
	s.memory += int64(s.width) * int64(s.height) * bytes
	block := blockPixels(dir, int64(s.width), int64(s.height))
	s.worst = s.memory
	if compression > 1 {
		s.worst += 3 * 8 * block // what x/image/tiff lets a block expand to, in a buffer that grows by doubling
	}
	s.memory += 3 * bytes * block

	s.decode = func(ctx context.Context, w, h int) ([]byte, error) {
		m, err := tiff.Decode(newReader(ctx, file))
		if err != nil {
			return nil, tiffError(err)
		}
		if b := m.Bounds(); b.Dx() != s.width || b.Dy() != s.height {
			return nil, errSizes
		}
		if n, ok := m.(*image.NRGBA); ok && cmyk {
			return rows{s.width, s.height, inkRows(n)}.average(ctx, w, h)
		}
		r := rowsOf(m)
		if compression >= 2 && compression <= 4 && photometric == 1 {
			r = inverted(r) // fax data whose 0 is black are to be shown reversed: TIFF 6.0, section 11
		}
		return r.average(ctx, w, h)
	}
	return s, nil
}

// inverted returns the negative of r.
func inverted(r rows) rows {
	return rows{r.width, r.height, func(dst []byte, y int) {
		r.row(dst, y)
		for i := range dst {
			dst[i] = ^dst[i]
		}
	}}
}

// tiffReadable returns an error for what x/image/tiff would refuse in words of its own, or get wrong.
func tiffReadable(dir directory, bits []uint32, photometric, compression uint32) error {
	planar, _ := dir.value(tagPlanar)
	switch {
	case compression == 6 || compression == 7:
		return unsupported("is a TIFF with JPEG data inside, or a camera's raw file, which is not read here; save it as a JPEG")
	case planar == 2 && len(bits) > 1:
		return unsupported("is a TIFF that keeps its colours apart, which is not read here; save it as a PNG or JPEG")
	case photometric == 5 && (len(bits) != 4 || bits[0] != 8):
		return unsupported("is a TIFF of unusual printing colours, which is not read here; save it as a PNG or JPEG")
	}
	return nil
}

// tiffError puts into words that x/image/tiff does not know a kind of TIFF.
func tiffError(err error) error {
	if u := tiff.UnsupportedError(""); errors.As(err, &u) {
		return unsupported("is a TIFF of a kind that is not read here (%s); save it as a PNG or JPEG", string(u))
	}
	return err
}

// tiffBytes returns how many bytes x/image/tiff uses for a pixel.
func tiffBytes(bits []uint32) int64 {
	bytes := int64(1)
	if len(bits) > 1 {
		bytes = 4
	}
	if len(bits) > 0 && bits[0] == 16 {
		bytes *= 2
	}
	return bytes
}

// blockPixels returns the number of pixels in the strips or tiles, which are decoded one by one.
func blockPixels(dir directory, width, height int64) int64 {
	if w, ok := dir.value(tagTileWidth); ok && w > 0 {
		h, _ := dir.value(tagTileHeight)
		return min(int64(w), width+1024) * min(int64(h), height+1024)
	}
	if n, ok := dir.value(tagRowsPerStrip); ok && n > 0 {
		height = min(height, int64(n))
	}
	return width * height
}

// cmykAsRGBA returns the file with a first directory that takes its four inks for red, green, blue and opacity.
// x/image/tiff knows no CMYK, and hands on four samples of that kind as they are.
func cmykAsRGBA(dir directory) ([]byte, error) {
	n := len(dir.entries) / 12
	file := append([]byte(nil), dir.data...)
	if len(file)%2 == 1 {
		file = append(file, 0)
	}
	if len(file) > 1<<31 {
		return nil, errors.New("it is too long")
	}
	at := uint32(len(file))
	dir.order.PutUint32(file[4:], at)
	file = append(file, make([]byte, 2+12*(n+1)+4)...)
	to := file[at+2:]
	count := uint16(0)
	put := func(entry []byte) {
		copy(to, entry)
		to = to[12:]
		count++
	}
	extra := make([]byte, 12)
	dir.order.PutUint16(extra, tagExtraSamples)
	dir.order.PutUint16(extra[2:], 3) // SHORT
	dir.order.PutUint32(extra[4:], 1)
	dir.order.PutUint16(extra[8:], 2) // unassociated alpha
	placed := false
	for e := dir.entries; len(e) >= 12; e = e[12:] {
		tag := dir.order.Uint16(e)
		if tag > tagExtraSamples && !placed {
			put(extra)
			placed = true
		}
		switch tag {
		case tagExtraSamples:
		case tagPhotometric:
			rgb := append([]byte(nil), e[:12]...)
			dir.order.PutUint16(rgb[8:], 2)
			put(rgb)
		default:
			put(e[:12])
		}
	}
	if !placed {
		put(extra)
	}
	dir.order.PutUint16(file[at:], count)
	return file, nil
}

// inkRows gives the rows of a picture whose four channels are inks, 255 being full.
func inkRows(m *image.NRGBA) func(dst []byte, y int) {
	return func(dst []byte, y int) {
		for src := m.Pix[y*m.Stride:]; len(dst) > 0; dst, src = dst[3:], src[4:] {
			white := 255 - uint32(src[3])
			for i := range 3 {
				dst[i] = byte(((255-uint32(src[i]))*white + 127) / 255)
			}
		}
	}
}
