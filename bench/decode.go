package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/ocelli/ocelli/internal/decode"
)

// decoders compares the service's decoders with Go's own, on the way to a picture whose short side is 256.
func (b *bench) decoders(ctx context.Context) error {
	const shortSide = 256
	t := b.table("Decode", "From the bytes of a file to pixels of which a network can take its input, one at a time; ours scales while it decodes where the format lets it, "+
		"and checks bounds before it takes memory. Go's is the format's package of the standard library or x/image, without any scaling.",
		"file", "ours, ms", "Go's, ms", "ours ÷ Go's")
	decoder := decode.New(decode.Limits{})
	for _, f := range decodable() {
		var ours, theirs, ratios []float64
		for range b.rounds {
			a, err := b.each(func() error { _, err := decoder.Decode(ctx, f.body, shortSide); return err })
			if err != nil {
				return fmt.Errorf("%s: %w", f.says, err)
			}
			c, err := b.each(func() error { _, err := f.decode(bytes.NewReader(f.body)); return err })
			if err != nil {
				return fmt.Errorf("%s: %w", f.says, err)
			}
			ours, theirs, ratios = append(ours, a), append(theirs, c), append(ratios, a/c)
		}
		t.row(f.says, spread(ours, "%.1f"), spread(theirs, "%.1f"), spread(ratios, "%.2f"))
	}
	return nil
}

// each returns the milliseconds that one call takes.
func (b *bench) each(call func() error) (float64, error) {
	began, n := time.Now(), 0
	for time.Since(began) < b.length()/20 || n < 3 {
		if err := call(); err != nil {
			return 0, err
		}
		n++
	}
	return ms(time.Since(began)) / float64(n), nil
}

// file is a picture in one format.
type file struct {
	says   string
	body   []byte
	decode func(*bytes.Reader) (image.Image, error)
}

func decodable() []file {
	var all []file
	for _, size := range []image.Point{{500, 375}, {1920, 1080}, {4032, 3024}} {
		jpegs := painted(1, size.X, size.Y)
		all = append(all, file{fmt.Sprintf("JPEG %d × %d", size.X, size.Y), jpegs[0], func(r *bytes.Reader) (image.Image, error) { return jpeg.Decode(r) }})
	}
	m, err := jpeg.Decode(bytes.NewReader(painted(1, 1024, 768)[0]))
	if err != nil {
		panic(err) // it was made just now
	}
	add := func(says string, encode func(*bytes.Buffer) error, decode func(*bytes.Reader) (image.Image, error)) {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			panic(err) // a buffer takes everything
		}
		all = append(all, file{says + " 1024 × 768", b.Bytes(), decode})
	}
	add("PNG", func(b *bytes.Buffer) error { return png.Encode(b, m) }, func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) })
	add("GIF", func(b *bytes.Buffer) error { return gif.Encode(b, m, nil) }, func(r *bytes.Reader) (image.Image, error) { return gif.Decode(r) })
	add("BMP", func(b *bytes.Buffer) error { return bmp.Encode(b, m) }, func(r *bytes.Reader) (image.Image, error) { return bmp.Decode(r) })
	add("TIFF, deflate", func(b *bytes.Buffer) error { return tiff.Encode(b, m, &tiff.Options{Compression: tiff.Deflate}) },
		func(r *bytes.Reader) (image.Image, error) { return tiff.Decode(r) })
	return all
}
