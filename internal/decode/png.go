package decode

import (
	"context"
	"errors"
	"image"
	"image/png"
)

// openPNG reads the chunks of a PNG: https://www.w3.org/TR/png-3/.
func openPNG(data []byte) (stored, error) {
	if len(data) < 33 {
		return stored{}, errEndsEarly
	}
	if string(data[12:16]) != "IHDR" {
		return stored{}, errors.New("it does not begin with an IHDR chunk")
	}
	header := data[16:29]
	s := stored{width: int(be32(header)), height: int(be32(header[4:])), shrink: boxes}
	if s.width > 1<<24 || s.height > 1<<24 {
		s.width, s.height = min(s.width, 1<<24), min(s.height, 1<<24) // far over any limit, and safe to multiply
	}
	transparent := false
	for rest := data[8:]; len(rest) >= 12; {
		n := int64(be32(rest))
		if n+12 > int64(len(rest)) {
			break // image/png will say what is wrong
		}
		switch string(rest[4:8]) {
		case "tRNS":
			transparent = true
		case "eXIf":
			s.orientation = orientationOf(rest[8 : 8+n])
		}
		rest = rest[12+n:]
	}
	s.memory = int64(s.width) * int64(s.height) * pngBytes(header[9], header[8], transparent)
	if header[12] != 0 {
		s.memory += s.memory / 2 // interlaced: the largest of the seven passes
	}
	s.memory += int64(s.width)*32 + 64<<10 // two rows, and the window of the compression
	s.decode = whole(s.width, s.height, func(ctx context.Context) (image.Image, error) {
		return png.Decode(newReader(ctx, data))
	})
	return s, nil
}

// pngBytes returns how many bytes image/png uses for a pixel.
func pngBytes(colour, depth byte, transparent bool) int64 {
	bytes := int64(4)
	if (colour == 0 || colour == 3) && (!transparent || colour == 3) {
		bytes = 1
	}
	if depth == 16 {
		bytes *= 2
	}
	return bytes
}
