package thumb

import (
	"image"
	"image/color"

	"github.com/ocelli/ocelli"
)

// rgb makes pixels an [image.Image].
type rgb struct{ ocelli.Pixels }

func (p rgb) ColorModel() color.Model { return color.RGBAModel }

func (p rgb) Bounds() image.Rectangle { return image.Rect(0, 0, p.Width, p.Height) }

func (p rgb) At(x, y int) color.Color { return p.RGBA64At(x, y) }

// RGBA64At is what the scaler asks for, as it allocates nothing.
func (p rgb) RGBA64At(x, y int) color.RGBA64 {
	i := 3 * (y*p.Width + x)
	c := p.RGB[i : i+3 : i+3]
	return color.RGBA64{R: 0x101 * uint16(c[0]), G: 0x101 * uint16(c[1]), B: 0x101 * uint16(c[2]), A: 0xffff}
}
