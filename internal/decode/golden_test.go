package decode

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
)

// read returns a file of testdata/golden.
func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// expected returns what Pillow made of a file of testdata/golden.
func expected(t testing.TB, name string) ocelli.Pixels {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(read(t, name+".png")))
	if err != nil {
		t.Fatal(err)
	}
	p := ocelli.Pixels{Width: m.Bounds().Dx(), Height: m.Bounds().Dy()}
	for y := range p.Height {
		for x := range p.Width {
			r, g, b, _ := m.At(x, y).RGBA()
			p.RGB = append(p.RGB, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return p
}

// difference returns the largest and the mean difference of the channels of two pictures of the same size.
func difference(t testing.TB, got, want ocelli.Pixels) (most int, mean float64) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height || len(got.RGB) != len(want.RGB) {
		t.Fatalf("size is %d × %d with %d bytes, want %d × %d with %d bytes", got.Width, got.Height, len(got.RGB), want.Width, want.Height, len(want.RGB))
	}
	sum := 0
	for i, v := range got.RGB {
		d := int(v) - int(want.RGB[i])
		d = max(d, -d)
		most, sum = max(most, d), sum+d
	}
	return most, float64(sum) / float64(len(got.RGB))
}

func TestDecodeGivesWhatPillowGives(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files in testdata/golden", err)
	}
	types := map[string]string{".jpg": "image/jpeg", ".tif": "image/tiff"}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.Count(name, ".") != 1 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			got, err := New(Limits{}).Decode(context.Background(), read(t, name), 0)
			if err != nil {
				t.Fatal(err)
			}
			want := expected(t, name)
			allowed := 0
			switch name {
			case "alpha.avif":
				allowed = 1 // rounded twice: it comes multiplied by its alpha
			case "plain.avif":
				allowed = 90 // at edges: the module takes the nearest of the colour samples, of which there is one for four pixels
			}
			if most, mean := difference(t, got.Pixels, want); most > allowed {
				t.Errorf("differs by up to %d, %.2f in the mean; want at most %d", most, mean, allowed)
			}
			if got.FullWidth != want.Width || got.FullHeight != want.Height {
				t.Errorf("full size is %d × %d, want %d × %d", got.FullWidth, got.FullHeight, want.Width, want.Height)
			}
			format := types[filepath.Ext(name)]
			if format == "" {
				format = "image/" + filepath.Ext(name)[1:]
			}
			if got.Format != format {
				t.Errorf("format is %q, want %q", got.Format, format)
			}
		})
	}
}
