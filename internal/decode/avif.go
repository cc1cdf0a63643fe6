package decode

import (
	"context"
	"errors"
)

// openAVIF reads the boxes of an AVIF: https://aomediacodec.github.io/av1-avif/, on top of HEIF (ISO/IEC 23008-12).
// It is decoded in a sandbox, see avifwasm.go.
func openAVIF(data []byte) (stored, error) {
	p, err := readAVIF(data)
	if err != nil {
		return stored{}, err
	}
	s := stored{
		width: int(min(p.width, 1<<24)), height: int(min(p.height, 1<<24)), // safe to multiply, and far over any limit
		orientation: p.orientation(), shrink: boxes,
	}
	perPixel := int64(24) // two frames of the codec, one of libavif, and twice RGBA: measured
	if p.deep {
		perPixel *= 2
	}
	sandbox := int64(24<<20) + 2*int64(len(data)) + perPixel*int64(s.width)*int64(s.height)
	s.memory = sandbox
	s.decode = func(ctx context.Context, w, h int) ([]byte, error) {
		return decodeAVIF(ctx, data, s.width, s.height, w, h, sandbox)
	}
	return s, nil
}

// avifProperties are what the boxes of an AVIF say of its primary picture.
type avifProperties struct {
	width, height uint32
	deep          bool // more than 8 bits for a channel
	turns         byte // by 90 degrees anticlockwise
	mirror        int  // after turning: -1 none, 0 top and bottom swapped, 1 left and right swapped
}

// orientation returns the EXIF orientation that does the same. Where an AVIF has EXIF data too, its properties
// alone count (HEIF, section 6.5.10).
func (p avifProperties) orientation() int {
	table := [3][4]int{{1, 8, 3, 6}, {4, 5, 2, 7}, {2, 7, 4, 5}}
	return table[p.mirror+1][p.turns]
}

func readAVIF(data []byte) (avifProperties, error) {
	meta, ok := findBox(data, "meta")
	if !ok || len(meta) < 4 {
		return avifProperties{}, errors.New("it has no description of a picture")
	}
	meta = meta[4:]
	pitm, _ := findBox(meta, "pitm")
	iprp, _ := findBox(meta, "iprp")
	ipco, _ := findBox(iprp, "ipco")
	ipma, _ := findBox(iprp, "ipma")
	if len(pitm) < 6 {
		return avifProperties{}, errors.New("it does not say which of its pictures is the main one")
	}
	primary := be16(pitm[4:])
	if pitm[0] > 0 && len(pitm) >= 8 {
		primary = be32(pitm[4:])
	}
	var all []box
	p := avifProperties{mirror: -1}
	for b, rest := nextBox(ipco); b.kind != ""; b, rest = nextBox(rest) {
		all = append(all, b)
		if b.kind == "av1C" && len(b.body) > 2 && b.body[2]&0x40 != 0 {
			p.deep = true // of any picture in the file, since the main one may be put together from others
		}
	}
	for _, i := range propertiesOf(ipma, primary) {
		if i < 1 || i > len(all) {
			continue
		}
		switch b := all[i-1]; {
		case b.kind == "ispe" && len(b.body) >= 12:
			p.width, p.height = be32(b.body[4:]), be32(b.body[8:])
		case b.kind == "irot" && len(b.body) >= 1:
			p.turns = b.body[0] & 3
		case b.kind == "imir" && len(b.body) >= 1:
			p.mirror = int(b.body[0] & 1)
		}
	}
	return p, nil
}

// propertiesOf returns the numbers, from 1, of the properties that an ipma box gives the item.
func propertiesOf(ipma []byte, item uint32) (numbers []int) {
	if len(ipma) < 8 {
		return nil
	}
	wideItem, wideNumber := ipma[0] > 0, ipma[3]&1 != 0
	count, rest := be32(ipma[4:]), ipma[8:]
	for ; count > 0 && len(rest) >= 5; count-- {
		id := be16(rest)
		if rest = rest[2:]; wideItem {
			id = id<<16 | be16(rest)
			rest = rest[2:]
		}
		if len(rest) == 0 {
			return numbers
		}
		n := int(rest[0])
		for rest = rest[1:]; n > 0 && len(rest) >= 2; n-- {
			number := int(rest[0] & 0x7f)
			if rest = rest[1:]; wideNumber {
				number = number<<8 | int(rest[0])
				rest = rest[1:]
			}
			if id == item {
				numbers = append(numbers, number)
			}
		}
		if n == 1 && len(rest) == 1 && !wideNumber && id == item {
			return append(numbers, int(rest[0]&0x7f)) // the last byte of the box
		}
	}
	return numbers
}

// box is a box of an ISO base media file: ISO/IEC 14496-12, section 4.2.
type box struct {
	kind string
	body []byte
}

// nextBox returns the first box of data and what follows; its kind is "" where there is none, or it is cut short.
func nextBox(data []byte) (b box, rest []byte) {
	if len(data) < 8 {
		return box{}, nil
	}
	size, header := uint64(be32(data)), uint64(8)
	if size == 1 && len(data) >= 16 {
		size, header = uint64(be32(data[8:]))<<32|uint64(be32(data[12:])), 16
	}
	if size == 0 {
		size = uint64(len(data)) // up to the end of the file
	}
	if size < header || size > uint64(len(data)) {
		return box{}, nil
	}
	return box{string(data[4:8]), data[header:size]}, data[size:]
}

func findBox(data []byte, kind string) (body []byte, ok bool) {
	for b, rest := nextBox(data); b.kind != ""; b, rest = nextBox(rest) {
		if b.kind == kind {
			return b.body, true
		}
	}
	return nil, false
}
