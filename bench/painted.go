package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// painted returns JPEG files of landscapes with grain, which take about as many bytes as photographs of their size.
func painted(n, width, height int) [][]byte {
	all := make([][]byte, n)
	for i := range all {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		m := image.NewRGBA(image.Rect(0, 0, width, height))
		horizon, hue := 0.3+0.4*random.Float64(), random.Float64()
		for y := range height {
			for x := range width {
				ridge := horizon + 0.08*math.Sin(float64(x)/float64(width)*9+10*hue) + 0.03*math.Sin(float64(x)/float64(width)*31)
				v := 90 + 120*float64(y)/float64(height)
				c := [3]float64{v * (0.5 + hue/2), v * 0.8, v}
				if float64(y)/float64(height) > ridge {
					c = [3]float64{60 * hue, 100 - 40*hue, 40}
				}
				grain := 24 * random.Float64()
				m.SetRGBA(x, y, color.RGBA{byte(min(255, c[0]+grain)), byte(min(255, c[1]+grain)), byte(min(255, c[2]+grain)), 255})
			}
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 85}); err != nil {
			panic(err) // a buffer takes everything
		}
		all[i] = b.Bytes()
	}
	return all
}
