package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image/gif"
	"io"
	"math"
)

// openGIF reads a GIF up to its first picture: https://www.w3.org/Graphics/GIF/spec-gif89a.txt. The first
// picture alone is decoded, and lies on the canvas where the file says; the rest of the canvas is white. A canvas
// that is too small for it grows, as in browsers.
func openGIF(data []byte) (stored, error) {
	if len(data) < 13 {
		return stored{}, errEndsEarly
	}
	width, height := int(le16(data[6:])), int(le16(data[8:]))
	left, top, w, h, err := firstGIFImage(data)
	if err != nil {
		return stored{}, err
	}
	memory := int64(w)*int64(h) + 64<<10
	if left+w > width || top+h > height {
		width, height = max(width, left+w), max(height, top+h)
		data = bytes.Clone(data) // image/gif insists on a canvas that is large enough
		binary.LittleEndian.PutUint16(data[6:], uint16(min(width, math.MaxUint16)))
		binary.LittleEndian.PutUint16(data[8:], uint16(min(height, math.MaxUint16)))
		memory += int64(len(data))
	}
	return stored{
		width: width, height: height, shrink: boxes,
		memory: memory,
		decode: func(ctx context.Context, outW, outH int) ([]byte, error) {
			m, err := gif.Decode(newReader(ctx, data))
			if err != nil {
				return nil, err
			}
			if b := m.Bounds(); b.Dx() != w || b.Dy() != h {
				return nil, errSizes
			}
			return onCanvas(rowsOf(m), left, top, width, height).average(ctx, outW, outH)
		},
	}, nil
}

// firstGIFImage returns the place and size of the first picture of a GIF.
func firstGIFImage(data []byte) (left, top, w, h int, err error) {
	rest := data[13:]
	if flags := data[10]; flags&0x80 != 0 {
		rest = rest[min(len(rest), 3<<(flags&7+1)):] // the colour table
	}
	for len(rest) > 0 {
		switch rest[0] {
		case 0x21: // an extension: its label, then sub-blocks up to an empty one
			rest = rest[min(len(rest), 2):]
			for len(rest) > 0 && rest[0] != 0 {
				rest = rest[min(len(rest), 1+int(rest[0])):]
			}
			rest = rest[min(len(rest), 1):]
		case 0x2c:
			if len(rest) < 10 {
				return 0, 0, 0, 0, errEndsEarly
			}
			return int(le16(rest[1:])), int(le16(rest[3:])), int(le16(rest[5:])), int(le16(rest[7:])), nil
		case 0x3b:
			return 0, 0, 0, 0, errors.New("it has no picture")
		default:
			return 0, 0, 0, 0, errors.New("it has a block of an unknown kind")
		}
	}
	return 0, 0, 0, 0, io.ErrUnexpectedEOF
}

// onCanvas returns a white picture of width × height with r at the place.
func onCanvas(r rows, left, top, width, height int) rows {
	return rows{width: width, height: height, row: func(dst []byte, y int) {
		for i := range dst {
			dst[i] = 255
		}
		if y >= top && y < top+r.height {
			r.row(dst[left*3:(left+r.width)*3], y-top)
		}
	}}
}
