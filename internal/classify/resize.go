package classify

import (
	"encoding/binary"
	"math"
	"sync"

	"github.com/ocelli/ocelli"
)

// The resize is the antialiased bilinear filter of the Pillow library, bit for bit, since that is what nearly every
// network was trained and measured with: a triangle as wide as the scale asks for, 8-bit values between the horizontal
// and the vertical pass, weights with 22 bits after the point. The method is the one described in
// https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters. (Since version 13 Pillow takes the vertical pass
// first for some tall pictures, https://github.com/python-pillow/Pillow/pull/9549: that changes a pixel by one level at most.)

// weightBits is the number of bits after the point of a weight: 8 are for the pixel and 2 for sign and carry.
const weightBits = 32 - 8 - 2

// taps are the source pixels that make up one pixel of the result: len(weights) of them from first on.
type taps struct {
	first   int
	weights []uint64
}

// bilinear returns the taps of the count pixels from start on, of a line of in pixels that is scaled to out.
func bilinear(in, out, start, count int) []taps {
	scale := float64(in) / float64(out)
	support := max(scale, 1)
	all := make([]taps, count)
	room := make([]uint64, count*(2*int(math.Ceil(support))+1))
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
			weights[k] = uint64(0.5 + exact[k]/sum*(1<<weightBits))
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
	for y, t := range vertical {
		blendRows(s.out[y*stride:][:stride], s.rows[(t.first-firstRow)*stride:], t.weights)
	}
	return s.out
}

// The passes add up two channels in one 64-bit word, in its upper and lower half: no weight is negative and a sum has at
// most 31 bits, so nothing is carried from one to the other.
const (
	lanes     = 0x000000ff_000000ff
	halfLanes = 1<<(weightBits-1) | 1<<(weightBits-1+32)
)

// scaleRow makes one row of pixels from another.
func scaleRow(dst, src []byte, pixels []taps) {
	for i, t := range pixels {
		var redBlue, green uint64 = halfLanes, halfLanes
		from := src[3*t.first:]
		for _, w := range t.weights {
			var p uint64
			if len(from) >= 4 {
				p = uint64(binary.LittleEndian.Uint32(from))
			} else {
				p = uint64(from[0]) | uint64(from[1])<<8 | uint64(from[2])<<16
			}
			redBlue += (p&0xff | p&0xff0000<<16) * w
			green += (p >> 8 & 0xff) * w
			from = from[3:]
		}
		to := dst[3*i:][:3]
		to[0], to[1], to[2] = clip(uint32(redBlue)), clip(uint32(green)), clip(uint32(redBlue>>32))
	}
}

// blendRows makes one row from the len(weights) rows that src begins with.
func blendRows(dst, src []byte, weights []uint64) {
	stride := len(dst)
	x := 0
	for ; x+8 <= stride; x += 8 {
		var a, b, c, d uint64 = halfLanes, halfLanes, halfLanes, halfLanes
		at := x
		for _, w := range weights {
			v := binary.LittleEndian.Uint64(src[at:])
			a += v & lanes * w
			b += v >> 8 & lanes * w
			c += v >> 16 & lanes * w
			d += v >> 24 & lanes * w
			at += stride
		}
		to := dst[x:][:8]
		to[0], to[1], to[2], to[3] = clip(uint32(a)), clip(uint32(b)), clip(uint32(c)), clip(uint32(d))
		to[4], to[5], to[6], to[7] = clip(uint32(a>>32)), clip(uint32(b>>32)), clip(uint32(c>>32)), clip(uint32(d>>32))
	}
	for ; x < stride; x++ {
		sum := uint64(1 << (weightBits - 1))
		for k, w := range weights {
			sum += uint64(src[k*stride+x]) * w
		}
		dst[x] = clip(uint32(sum))
	}
}

func clip(v uint32) byte { return byte(min(v>>weightBits, 255)) }
