package classify

import (
	"fmt"
	"math"

	"github.com/ocelli/ocelli"
)

// Number is what a model's input is made of.
type Number interface{ float32 | uint8 }

// InputSize returns the width and height in pixels of the input that img becomes.
func (s *Spec) InputSize(img ocelli.Pixels) (width, height int) {
	if s.Width > 0 {
		return s.Width, s.Height
	}
	width, height = img.Width, img.Height
	if over := float64(width) * float64(height) / maxNative; over > 1 {
		shrink := 1 / math.Sqrt(over)
		width, height = max(int(float64(width)*shrink), 1), max(int(float64(height)*shrink), 1)
		// A strip so long that a side has become one pixel keeps the limit by the other.
		width, height = min(width, maxNative/height), min(height, maxNative/width)
	}
	return width, height
}

// ShortSide is the size below which a picture should not be scaled while it is decoded; see [Classifier]. It is twice what
// the resize needs, and 512 at least: a decoder scales in steps and with another filter, of which the network is to see nothing.
func (s *Spec) ShortSide() int {
	if s.Resize == 0 {
		return 0
	}
	return max(2*s.Resize, 512)
}

// window returns which part of the scaled picture the model sees.
func (s *Spec) window(img ocelli.Pixels) window {
	width, height := s.InputSize(img)
	w := window{scaledWidth: width, scaledHeight: height, width: width, height: height}
	if s.Width == 0 {
		return w
	}
	if img.Width <= img.Height {
		w.scaledWidth, w.scaledHeight = s.Resize, s.Resize*img.Height/img.Width
	} else {
		w.scaledWidth, w.scaledHeight = s.Resize*img.Width/img.Height, s.Resize
	}
	w.left, w.top = half(w.scaledWidth-w.width), half(w.scaledHeight-w.height)
	return w
}

// half rounds n÷2 to even, as the centre crop of torchvision does.
func half(n int) int { return int(math.RoundToEven(float64(n) / 2)) }

// Filler writes pictures into the input of a model with numbers of type T. It may be used by many goroutines.
type Filler[T Number] struct {
	spec  *Spec
	value [3][256]T // of a pixel, for each of the model's channels
}

// NewFiller returns the filler for the spec. T must be uint8 where spec.Uint8, and float32 otherwise.
func NewFiller[T Number](spec *Spec) *Filler[T] {
	f := &Filler[T]{spec: spec}
	for c := range f.value {
		for v := range f.value[c] {
			f.value[c][v] = T((float64(v)*spec.Scale - spec.Mean[c]) / spec.Std[c])
		}
	}
	return f
}

// Fill writes img into dst, which must have 3 × width × height numbers by [Spec.InputSize].
func (f *Filler[T]) Fill(dst []T, img ocelli.Pixels) error {
	if img.Width < 1 || img.Height < 1 || len(img.RGB) != 3*img.Width*img.Height {
		return fmt.Errorf("a picture of %d×%d pixels with %d bytes cannot be classified: it needs three bytes for each pixel", img.Width, img.Height, len(img.RGB))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	rgb := s.resize(img, f.spec.window(img))
	if len(rgb) != len(dst) {
		return fmt.Errorf("a picture became %d numbers where the model takes %d", len(rgb), len(dst))
	}
	first, third := 0, 2
	if f.spec.BGR {
		first, third = 2, 0
	}
	v0, v1, v2 := &f.value[0], &f.value[1], &f.value[2]
	if !f.spec.ChannelsFirst {
		for i := 0; i+2 < len(rgb); i += 3 {
			dst[i], dst[i+1], dst[i+2] = v0[rgb[i+first]], v1[rgb[i+1]], v2[rgb[i+third]]
		}
		return nil
	}
	plane := len(dst) / 3
	p0, p1, p2 := dst[:plane], dst[plane:2*plane], dst[2*plane:]
	for i := range p0 {
		pixel := rgb[3*i:][:3]
		p0[i], p1[i], p2[i] = v0[pixel[first]], v1[pixel[1]], v2[pixel[third]]
	}
	return nil
}
