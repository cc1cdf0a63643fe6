package decode

import (
	"encoding/binary"

	"github.com/ocelli/ocelli"
)

// tagOrientation says how to turn a picture upright: TIFF 6.0, section 8, and EXIF 2.32, section 4.6.4.
const tagOrientation = 0x0112

// orientationOf returns the orientation, 1 to 8, that a block of EXIF data gives, and 0 where it gives
// none or is damaged: a picture is worth showing whatever its metadata are like. Only the first directory
// is read, so that no chain of directories can be endless.
func orientationOf(exif []byte) int {
	dir, err := readDirectory(exif)
	if err != nil {
		return 0
	}
	if v, ok := dir.value(tagOrientation); ok && v >= 1 && v <= 8 {
		return int(v)
	}
	return 0
}

// directory is an image file directory of TIFF, which EXIF uses too.
type directory struct {
	order   binary.ByteOrder
	data    []byte // the whole file
	entries []byte // 12 bytes each
}

// readDirectory returns the first directory of a TIFF file.
func readDirectory(data []byte) (directory, error) {
	if len(data) < 8 {
		return directory{}, errEndsEarly
	}
	d := directory{data: data}
	switch string(data[:4]) {
	case "II*\x00":
		d.order = binary.LittleEndian
	case "MM\x00*":
		d.order = binary.BigEndian
	default:
		return directory{}, errNoDirectory
	}
	offset := int64(d.order.Uint32(data[4:]))
	if offset+2 > int64(len(data)) {
		return directory{}, errEndsEarly
	}
	n := int64(d.order.Uint16(data[offset:]))
	d.entries = data[offset+2 : min(offset+2+12*n, int64(len(data)))]
	if int64(len(d.entries)) < 12*n {
		return d, errEndsEarly
	}
	return d, nil
}

// values returns up to limit whole numbers of the entry with the tag, and none where it is missing, of another
// type or outside the file.
func (d directory) values(tag uint16, limit int) []uint32 {
	for e := d.entries; len(e) >= 12; e = e[12:] {
		if d.order.Uint16(e) != tag {
			continue
		}
		count := int64(d.order.Uint32(e[4:]))
		var size int64
		switch d.order.Uint16(e[2:]) {
		case 1: // BYTE
			size = 1
		case 3: // SHORT
			size = 2
		case 4: // LONG
			size = 4
		default:
			return nil
		}
		raw := e[8:12]
		if size*count > 4 {
			offset := int64(d.order.Uint32(e[8:]))
			if offset+size*count > int64(len(d.data)) {
				return nil
			}
			raw = d.data[offset : offset+size*count]
		}
		vs := make([]uint32, min(count, int64(limit)))
		for i := range vs {
			switch size {
			case 1:
				vs[i] = uint32(raw[i])
			case 2:
				vs[i] = uint32(d.order.Uint16(raw[2*i:]))
			case 4:
				vs[i] = d.order.Uint32(raw[4*i:])
			}
		}
		return vs
	}
	return nil
}

// value returns the first number of the entry with the tag.
func (d directory) value(tag uint16) (v uint32, ok bool) {
	if vs := d.values(tag, 1); len(vs) == 1 {
		return vs[0], true
	}
	return 0, false
}

// turned reports whether upright swaps width and height.
func turned(orientation int) bool { return orientation >= 5 && orientation <= 8 }

// upright returns the picture as it is meant to be seen. Orientation n says where the first row and the first
// column of p belong, as in EXIF; p itself is returned where there is nothing to do.
func upright(p ocelli.Pixels, orientation int) ocelli.Pixels {
	if orientation < 2 || orientation > 8 {
		return p
	}
	out := ocelli.Pixels{Width: p.Width, Height: p.Height, RGB: make([]byte, len(p.RGB))}
	if turned(orientation) {
		out.Width, out.Height = p.Height, p.Width
	}
	mirrorX := orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8 // in p, before it is turned
	mirrorY := orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7
	to := 0
	for y := range out.Height {
		for x := range out.Width {
			sx, sy := x, y
			if turned(orientation) {
				sx, sy = y, x
			}
			if mirrorX {
				sx = p.Width - 1 - sx
			}
			if mirrorY {
				sy = p.Height - 1 - sy
			}
			from := (sy*p.Width + sx) * 3
			copy(out.RGB[to:to+3], p.RGB[from:from+3])
			to += 3
		}
	}
	return out
}
