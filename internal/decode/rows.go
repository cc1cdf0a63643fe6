package decode

import (
	"context"
	"image"
	"image/color"
)

// rows gives the rows of a decoded picture as RGB, over white where it is transparent.
type rows struct {
	width, height int
	row           func(dst []byte, y int) // fills 3*width bytes with row y; called with y from 0 upwards
}

// boxes is the [shrinker] of pictures that are decoded at full size: their pixels are averaged in boxes of k × k. The
// short side stays at twice shortSide or more, so that the boxes hardly show in what a better filter makes of it.
func boxes(width, height, shortSide int) (w, h int) {
	k := 1
	if shortSide > 0 {
		k = max(1, min(width, height)/(2*shortSide))
	}
	return (width + k - 1) / k, (height + k - 1) / k
}

// average returns the picture with its pixels averaged in boxes, as [boxes] gave them w × h.
func (r rows) average(ctx context.Context, w, h int) ([]byte, error) {
	k := 1
	for (r.width+k-1)/k != w || (r.height+k-1)/k != h {
		k++
	}
	out := make([]byte, w*h*3)
	if k == 1 {
		for y := range h {
			r.row(out[y*w*3:(y+1)*w*3], y)
		}
		return out, ctx.Err()
	}
	line, sums := make([]byte, r.width*3), make([]uint32, w*3)
	for y := range h {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		clear(sums)
		down := min(k, r.height-y*k)
		for i := range down {
			r.row(line, y*k+i)
			addBoxes(sums, line, k)
		}
		for x := range w {
			n := uint32(down * min(k, r.width-x*k))
			for c := range 3 {
				out[(y*w+x)*3+c] = byte((sums[x*3+c] + n/2) / n)
			}
		}
	}
	return out, nil
}

// addBoxes adds each pixel of the line to the sum of its box.
func addBoxes(sums []uint32, line []byte, k int) {
	for ; len(line) > 0; sums = sums[3:] {
		box := line[:min(len(line), k*3)]
		line = line[len(box):]
		for ; len(box) > 0; box = box[3:] {
			sums[0] += uint32(box[0])
			sums[1] += uint32(box[1])
			sums[2] += uint32(box[2])
		}
	}
}

// over returns one channel, 0 to 255, of a colour with opacity a, 0 to 255, in front of white.
func over(c, a byte) byte {
	return byte((uint32(c)*uint32(a) + 255*(255-uint32(a)) + 127) / 255)
}

// rowsOf returns the rows of an image of the standard library. 16-bit channels lose their low byte.
func rowsOf(m image.Image) rows {
	b := m.Bounds()
	r := rows{width: b.Dx(), height: b.Dy()}
	switch m := m.(type) {
	case *image.Gray:
		r.row = grayRows(m.Pix, m.Stride, 1)
	case *image.Gray16:
		r.row = grayRows(m.Pix, m.Stride, 2)
	case *image.RGBA:
		r.row = premultipliedRows(m.Pix, m.Stride, 1, 0)
	case *image.RGBA64:
		r.row = premultipliedRows(m.Pix, m.Stride, 2, 0)
	case *image.NRGBA:
		r.row = straightRows(m.Pix, m.Stride, 1)
	case *image.NRGBA64:
		r.row = straightRows(m.Pix, m.Stride, 2)
	case *image.Paletted:
		r.row = palettedRows(m)
	default:
		r.row = func(dst []byte, y int) {
			for x := 0; x < len(dst)/3; x++ {
				c := color.NRGBAModel.Convert(m.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
				dst[3*x], dst[3*x+1], dst[3*x+2] = over(c.R, c.A), over(c.G, c.A), over(c.B, c.A)
			}
		}
	}
	return r
}

// grayRows, and the next two, read channels of size bytes, of which the first counts.
func grayRows(pix []byte, stride, size int) func(dst []byte, y int) {
	return func(dst []byte, y int) {
		for src := pix[y*stride:]; len(dst) > 0; dst, src = dst[3:], src[size:] {
			dst[0], dst[1], dst[2] = src[0], src[0], src[0]
		}
	}
}

// premultipliedRows is told which byte of a channel counts: the first is 0.
func premultipliedRows(pix []byte, stride, size, high int) func(dst []byte, y int) {
	return func(dst []byte, y int) {
		for src := pix[y*stride:]; len(dst) > 0; dst, src = dst[3:], src[4*size:] {
			white := 255 - src[3*size+high]
			dst[0], dst[1], dst[2] = plus(src[high], white), plus(src[size+high], white), plus(src[2*size+high], white)
		}
	}
}

// plus adds and stays at 255: files may claim to be premultiplied and not be.
func plus(a, b byte) byte { return byte(min(int(a)+int(b), 255)) }

func straightRows(pix []byte, stride, size int) func(dst []byte, y int) {
	return func(dst []byte, y int) {
		for src := pix[y*stride:]; len(dst) > 0; dst, src = dst[3:], src[4*size:] {
			if a := src[3*size]; a == 255 {
				dst[0], dst[1], dst[2] = src[0], src[size], src[2*size]
			} else {
				dst[0], dst[1], dst[2] = over(src[0], a), over(src[size], a), over(src[2*size], a)
			}
		}
	}
}

func palettedRows(m *image.Paletted) func(dst []byte, y int) {
	var table [256][3]byte // black beyond the end of the palette
	for i, p := range m.Palette[:min(len(m.Palette), 256)] {
		c := color.NRGBAModel.Convert(p).(color.NRGBA)
		table[i] = [3]byte{over(c.R, c.A), over(c.G, c.A), over(c.B, c.A)}
	}
	return func(dst []byte, y int) {
		for _, i := range m.Pix[y*m.Stride : y*m.Stride+len(dst)/3] {
			copy(dst, table[i][:])
			dst = dst[3:]
		}
	}
}

// whole returns a [decodeFunc] for a picture that a decoder of the standard library's kind returns as one image.
func whole(width, height int, decode func(ctx context.Context) (image.Image, error)) decodeFunc {
	return func(ctx context.Context, w, h int) ([]byte, error) {
		m, err := decode(ctx)
		if err != nil {
			return nil, err
		}
		if b := m.Bounds(); b.Dx() != width || b.Dy() != height {
			return nil, errSizes
		}
		return rowsOf(m).average(ctx, w, h)
	}
}
