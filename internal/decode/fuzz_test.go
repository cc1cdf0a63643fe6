package decode

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/ocelli/ocelli"
)

func fuzzFormat(f *testing.F, patterns ...string) {
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("testdata/golden", pattern))
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds", pattern, err)
		}
		for _, file := range files {
			f.Add(read(f, filepath.Base(file)))
		}
	}
	d := New(Limits{MaxPixels: 1e6, MaxBytes: 64 << 20, TotalBytes: 256 << 20})
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := d.Decode(context.Background(), data, 20)
		if err != nil {
			if ocelli.AsError(err) == nil {
				t.Fatalf("error is not of the image: %v", err)
			}
			return
		}
		if p.Width < 1 || p.Height < 1 || len(p.RGB) != 3*p.Width*p.Height || p.Width > p.FullWidth || p.Height > p.FullHeight {
			t.Fatalf("%d × %d of %d × %d in %d bytes", p.Width, p.Height, p.FullWidth, p.FullHeight, len(p.RGB))
		}
	})
}

func FuzzJPEG(f *testing.F) { fuzzFormat(f, "*.jpg") }
func FuzzPNG(f *testing.F)  { fuzzFormat(f, "*.png") }
func FuzzGIF(f *testing.F)  { fuzzFormat(f, "*.gif") }
func FuzzWebP(f *testing.F) { fuzzFormat(f, "*.webp") }
func FuzzBMP(f *testing.F)  { fuzzFormat(f, "*.bmp") }
func FuzzTIFF(f *testing.F) { fuzzFormat(f, "*.tif") }
func FuzzAVIF(f *testing.F) { fuzzFormat(f, "*.avif") }

func FuzzSniff(f *testing.F) {
	f.Add([]byte("plain text"))
	f.Add([]byte("\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00miafavif"))
	f.Add([]byte("<?xml?><svg>"))
	f.Fuzz(func(t *testing.T, head []byte) {
		mediaType, err := Sniff(head), Check(head)
		if err == nil && mediaType == "" {
			t.Error("read here, and of no media type")
		}
		if err != nil && ocelli.AsError(err) == nil {
			t.Errorf("error is not of the image: %v", err)
		}
	})
}
