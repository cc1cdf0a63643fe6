package web_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// places are what the scenes show.
var places = []string{"alp", "seashore", "lakeside", "valley", "volcano"}

// dusk are skies from top to bottom, and the hills before them.
var dusk = [][3]color.RGBA{
	{{0x2b, 0x4c, 0x7e, 255}, {0xf6, 0xc5, 0x8f, 255}, {0x2d, 0x3f, 0x4f, 255}},
	{{0x14, 0x1e, 0x3c, 255}, {0x8a, 0x5a, 0x83, 255}, {0x1a, 0x1c, 0x33, 255}},
	{{0x7f, 0xb7, 0xd6, 255}, {0xf3, 0xee, 0xdc, 255}, {0x2f, 0x5d, 0x50, 255}},
	{{0xd9, 0x6c, 0x4f, 255}, {0xfb, 0xe0, 0xa3, 255}, {0x4a, 0x23, 0x3a, 255}},
	{{0x5b, 0x9a, 0x9a, 255}, {0xe8, 0xe2, 0xb8, 255}, {0x24, 0x4a, 0x3d, 255}},
	{{0x9f, 0xa8, 0xc9, 255}, {0xfd, 0xd7, 0xd0, 255}, {0x3a, 0x41, 0x66, 255}},
}

// scene paints a landscape that nobody has seen, a JPEG of 480 × 360: number n is always the same.
func scene(n int) []byte {
	const width, height = 480, 360
	rnd := rand.New(rand.NewPCG(uint64(n), 7))
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	look := dusk[rnd.IntN(len(dusk))]
	sunX, sunY, sunR := 60+rnd.Float64()*360, 60+rnd.Float64()*130, 18+rnd.Float64()*22
	for y := range height {
		for x := range width {
			c := blend(look[0], look[1], float64(y)/height*1.3)
			d := math.Hypot(float64(x)-sunX, float64(y)-sunY)
			c = blend(c, color.RGBA{255, 250, 225, 255}, math.Exp(-d/60)*0.7)
			if d < sunR {
				c = color.RGBA{255, 248, 220, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	const layers = 4
	for layer := range layers {
		depth := float64(layer+1) / layers
		c := blend(look[1], look[2], 0.25+0.75*depth)
		a, b, p, q := 0.006+rnd.Float64()*0.01, 0.02+rnd.Float64()*0.02, rnd.Float64()*9, rnd.Float64()*9
		for x := range width {
			top := 170 + 48*float64(layer) + 34*math.Sin(a*float64(x)+p) + 9*math.Sin(b*float64(x)+q) - 22*math.Abs(math.Sin(a*2.3*float64(x)+q))*(1-depth)
			for y := int(max(top, 0)); y < height; y++ {
				m.SetRGBA(x, y, blend(c, look[1], 0.25*float64(y-int(top))/height))
			}
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 82}); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func blend(a, b color.RGBA, t float64) color.RGBA {
	t = min(max(t, 0), 1)
	mix := func(a, b uint8) uint8 { return uint8(float64(a) + (float64(b)-float64(a))*t) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}
