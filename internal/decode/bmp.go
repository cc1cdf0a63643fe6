package decode

import (
	"context"
	"errors"
	"io"
	"math/bits"
)

// openBMP reads the headers of a BMP, of OS/2 or Windows:
// https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types. The pixels of a BMP lie open in the file, so
// that its rows are read from there without a copy.
func openBMP(data []byte) (stored, error) {
	b, err := readBMP(data)
	if err != nil {
		return stored{}, err
	}
	return stored{
		width: b.width, height: b.height, shrink: boxes,
		memory: int64(b.width) * 3, // a row
		decode: func(ctx context.Context, w, h int) ([]byte, error) {
			if int64(b.stride)*int64(b.height) > int64(len(b.pixels)) {
				return nil, io.ErrUnexpectedEOF
			}
			return rows{b.width, b.height, b.row}.average(ctx, w, h)
		},
	}, nil
}

type bmp struct {
	width, height int
	topDown       bool
	depth         int // bits of a pixel
	stride        int // bytes of a row
	palette       [256][3]byte
	masks         [4]uint32 // of red, green, blue and alpha, where depth is 16 or 32
	pixels        []byte
}

// Ways to pack the pixels.
const (
	bmpPlain     = 0
	bmpBitFields = 3
	bmpAlpha     = 6 // bit fields with one for alpha
)

func readBMP(data []byte) (*bmp, error) {
	if len(data) < 26 {
		return nil, errEndsEarly
	}
	size, entry, packing, colours := int(le32(data[14:])), 4, uint32(bmpPlain), 0
	if len(data) < 14+size {
		return nil, errEndsEarly
	}
	b := &bmp{}
	header := data[14:]
	if size == 12 { // OS/2
		b.width, b.height, b.depth, entry = int(le16(header[4:])), int(le16(header[6:])), int(le16(header[10:])), 3
	} else {
		b.width, b.height, b.depth = int(int32(le32(header[4:]))), int(int32(le32(header[8:]))), int(le16(header[14:]))
		if size >= 20 {
			packing = le32(header[16:])
		}
		if size >= 36 {
			colours = int(le32(header[32:]))
		}
	}
	if b.height < 0 {
		b.height, b.topDown = -b.height, true
	}
	if b.width < 1 || b.height < 1 {
		return nil, errors.New("its size is not above 0")
	}
	if err := b.readMasks(header, size, packing); err != nil {
		return nil, err
	}
	start := 14 + size
	if size == 40 && packing != bmpPlain {
		start += 12 // the masks stand between header and palette
	}
	if b.depth <= 8 {
		if colours == 0 || colours > 1<<b.depth {
			colours = 1 << b.depth
		}
		for i := 0; i < colours && start+3 <= len(data); i, start = i+1, start+entry {
			b.palette[i] = [3]byte{data[start+2], data[start+1], data[start]}
		}
	}
	b.stride = (b.width*b.depth + 31) / 32 * 4
	b.pixels = data[min(int64(le32(data[10:])), int64(len(data))):]
	return b, nil
}

// readMasks checks that depth and packing are read here, and fills in the masks.
func (b *bmp) readMasks(header []byte, size int, packing uint32) error {
	switch {
	case packing == 1 || packing == 2 || packing == 4 || packing == 5:
		return unsupported("is a BMP with compressed pixels, which is not read here; save it as a PNG")
	case packing != bmpPlain && (packing != bmpBitFields && packing != bmpAlpha || b.depth != 16 && b.depth != 32):
		return errors.New("its pixels are packed in an unknown way")
	}
	switch b.depth {
	case 1, 2, 4, 8, 24:
	case 16:
		b.masks = [4]uint32{0x7c00, 0x3e0, 0x1f, 0}
	case 32:
		b.masks = [4]uint32{0xff0000, 0xff00, 0xff, 0}
	default:
		return errors.New("its pixels have an impossible number of bits")
	}
	if packing != bmpPlain {
		if len(header) < 52 {
			return errEndsEarly
		}
		for i := range 3 {
			b.masks[i] = le32(header[40+4*i:])
		}
	}
	if size >= 56 && b.depth == 32 {
		b.masks[3] = le32(header[52:])
	}
	return nil
}

// row fills dst with row y.
func (b *bmp) row(dst []byte, y int) {
	if !b.topDown {
		y = b.height - 1 - y
	}
	src := b.pixels[y*b.stride : (y+1)*b.stride]
	for x := range b.width {
		to := dst[3*x : 3*x+3]
		switch b.depth {
		case 24:
			to[0], to[1], to[2] = src[3*x+2], src[3*x+1], src[3*x]
		case 16:
			b.unmask(to, le16(src[2*x:]))
		case 32:
			b.unmask(to, le32(src[4*x:]))
		default:
			shift := 8 - b.depth - x*b.depth%8
			copy(to, b.palette[src[x*b.depth/8]>>shift&(1<<b.depth-1)][:])
		}
	}
}

// unmask writes the colour of the pixel v, over white where it is transparent.
func (b *bmp) unmask(to []byte, v uint32) {
	alpha := byte(255)
	if b.masks[3] != 0 {
		alpha = channel(v, b.masks[3])
	}
	for i := range 3 {
		to[i] = over(channel(v, b.masks[i]), alpha)
	}
}

// channel returns the bits of v under the mask as a number from 0 to 255.
func channel(v, mask uint32) byte {
	if mask == 0 {
		return 0
	}
	low := bits.TrailingZeros32(mask)
	return byte(uint64(v&mask>>low) * 255 / uint64(mask>>low))
}
