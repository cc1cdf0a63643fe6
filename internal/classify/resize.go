package classify

import (
	"math"
	"sync"

	"github.com/ocelli/ocelli"
)

// The resize is the antialiased bilinear filter of the Pillow library, bit for bit, since that is what nearly every
// network was trained and measured with: a triangle as wide as the scale asks for, 8-bit values between the horizontal
// and the vertical pass, weights with 22 bits after the point. The method is the one described in
// https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters.

// weightBits is the number of bits after the point of a weight: 8 are for the pixel and 2 for sign and carry.
const weightBits = 32 - 8 - 2

// taps are the source pixels that make up one pixel of the result: len(weights) of them from first on.
type taps struct {
	first   int
	weights []int32
}

// bilinear returns the taps of the count pixels from start on, of a line of in pixels that is scaled to out.
func bilinear(in, out, start, count int) []taps {
	scale := float64(in) / float64(out)
	support := max(scale, 1)
	all := make([]taps, count)
	room := make([]int32, count*(2*int(math.Ceil(support))+1))
	exact := make([]float64, 2*int(math.Ceil(support))+1)
	for i := range all {
		centre := (float64(start+i) + 0.5) * scale
		first := max(int(centre-support+0.5), 0)
		n := min(int(centre+support+0.5), in) - first
		sum := 0.0
		for k := range n {
			d := math.Abs((float64(first+k) - centre + 0.5) * (1 / support))
			exact[k] = max(1-d, 0)
			sum += exact[k]
		}
		weights := room[:n:n]
		room = room[n:]
		for k := range weights {
			weights[k] = int32(math.Floor(0.5 + exact[k]/sum*(1<<weightBits)))
		}
		all[i] = taps{first, weights}
	}
	return all
}

// window is a part of a picture that has been scaled: width × height pixels of the scaled one, from left, top on.
type window struct {
	scaledWidth, scaledHeight int
	left, top, width, height  int
}

// scratch holds the rows between the two passes, and the result.
type scratch struct{ rows, out []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// grow returns a slice of n bytes, reusing b where it is long enough.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// resize returns the window of img, as interleaved RGB. Only what the window shows is computed. The bytes belong to s
// or, where nothing is to be done, to img.
func (s *scratch) resize(img ocelli.Pixels, w window) []byte {
	if w.scaledWidth == img.Width && w.scaledHeight == img.Height && w.width == img.Width && w.height == img.Height {
		return img.RGB
	}
	vertical := bilinear(img.Height, w.scaledHeight, w.top, w.height)
	last := vertical[len(vertical)-1]
	firstRow, endRow := vertical[0].first, last.first+len(last.weights)

	stride := 3 * w.width
	s.rows = grow(s.rows, (endRow-firstRow)*stride)
	horizontal := bilinear(img.Width, w.scaledWidth, w.left, w.width)
	for y := firstRow; y < endRow; y++ {
		scaleRow(s.rows[(y-firstRow)*stride:][:stride], img.RGB[3*y*img.Width:][:3*img.Width], horizontal)
	}
	s.out = grow(s.out, w.height*stride)
	sums := make([]int32, stride)
	for y, t := range vertical {
		blendRows(s.out[y*stride:][:stride], s.rows[(t.first-firstRow)*stride:], t.weights, sums)
	}
	return s.out
}

// scaleRow makes one row of pixels from another.
func scaleRow(dst, src []byte, pixels []taps) {
	for i, t := range pixels {
		const half = 1 << (weightBits - 1)
		r, g, b := int32(half), int32(half), int32(half)
		from := src[3*t.first:]
		for _, w := range t.weights {
			if len(from) < 3 {
				break
			}
			r += int32(from[0]) * w
			g += int32(from[1]) * w
			b += int32(from[2]) * w
			from = from[3:]
		}
		to := dst[3*i:][:3]
		to[0], to[1], to[2] = clip(r), clip(g), clip(b)
	}
}

// blendRows makes one row from the len(weights) rows that src begins with. sums is room for one row.
func blendRows(dst, src []byte, weights, sums []int32) {
	sums = sums[:len(dst)]
	for i := range sums {
		sums[i] = 1 << (weightBits - 1)
	}
	for k, w := range weights {
		row := src[k*len(dst):][:len(dst)]
		for i, v := range row {
			sums[i] += int32(v) * w
		}
	}
	for i, sum := range sums {
		dst[i] = clip(sum)
	}
}

func clip(v int32) byte { return byte(min(max(v>>weightBits, 0), 255)) }
