package decode

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/tiff"
)

// textured returns a picture that takes about as many bytes as a photograph of its size.
func textured(w, h int) image.Image {
	r := rand.New(rand.NewPCG(1, 2))
	m := smooth(w, h)
	for i := range m.Pix {
		if i%4 < 3 {
			m.Pix[i] = byte(min(255, int(m.Pix[i])+r.IntN(24)))
		}
	}
	for range 200 { // edges
		x, y, c := r.IntN(w), r.IntN(h), color.RGBA{byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), 255}
		for j := y; j < min(h, y+h/20); j++ {
			for i := x; i < min(w, x+w/20); i++ {
				m.SetRGBA(i, j, c)
			}
		}
	}
	return m
}

func BenchmarkDecode(b *testing.B) {
	for _, size := range []image.Point{{500, 375}, {4000, 3000}} {
		m := textured(size.X, size.Y)
		var j, t bytes.Buffer
		if err := jpeg.Encode(&j, m, &jpeg.Options{Quality: 90}); err != nil {
			b.Fatal(err)
		}
		if err := tiff.Encode(&t, m, &tiff.Options{Compression: tiff.Deflate}); err != nil {
			b.Fatal(err)
		}
		for _, file := range []struct {
			name string
			data []byte
		}{{"JPEG", j.Bytes()}, {"PNG", pngOf(b, m)}, {"TIFF", t.Bytes()}} {
			name := fmt.Sprintf("%s/%dx%d", file.name, size.X, size.Y)
			d := New(Limits{MaxBytes: 1 << 30, TotalBytes: 1 << 30})
			for _, shortSide := range []int{0, 224} {
				b.Run(fmt.Sprintf("%s/short=%d", name, shortSide), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := d.Decode(context.Background(), file.data, shortSide); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			b.Run(name+"/package-image", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := image.Decode(bytes.NewReader(file.data)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
