package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/internal/decode"
)

// rgb makes an image for Go's encoders; turned by a quarter to the left where it is to be shown with EXIF orientation 6.
func rgb(p ocelli.Pixels, turned bool) image.Image {
	size := image.Rect(0, 0, p.Width, p.Height)
	if turned {
		size = image.Rect(0, 0, p.Height, p.Width)
	}
	img := image.NewRGBA(size)
	for y := range p.Height {
		for x := range p.Width {
			i := 3 * (y*p.Width + x)
			c := color.RGBA{p.RGB[i], p.RGB[i+1], p.RGB[i+2], 255}
			if turned {
				img.SetRGBA(y, p.Width-1-x, c)
			} else {
				img.SetRGBA(x, y, c)
			}
		}
	}
	return img
}

// asJPEG encodes with the quality, and with EXIF orientation 6 where turned.
func asJPEG(t *testing.T, p ocelli.Pixels, quality int, turned bool) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, rgb(p, turned), &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	if !turned {
		return out.Bytes()
	}
	exif := "Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	segment := fmt.Sprintf("\xff\xe1%c%c%s", (len(exif)+2)>>8, (len(exif)+2)&0xff, exif)
	return append([]byte("\xff\xd8"+segment), out.Bytes()[2:]...)
}

func asPNG(t *testing.T, p ocelli.Pixels) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, rgb(p, false)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// labelsOf decodes and classifies as the service does.
func labelsOf(t *testing.T, m *onnx.Model, data []byte) []ocelli.Label {
	t.Helper()
	picture, err := decode.New(decode.Limits{}).Decode(t.Context(), data, m.ShortSide())
	if err != nil {
		t.Fatal(err)
	}
	labels, err := m.Classify(t.Context(), picture.Pixels)
	if err != nil {
		t.Fatal(err)
	}
	return labels[0]
}

// sameLabels tells how two answers for one photo differ. Two labels of nearly one score may change places.
func sameLabels(a, b []ocelli.Label, tolerance float64) error {
	score := map[string]float64{}
	for _, l := range b {
		score[l.ID] = l.Score
	}
	if d := math.Abs(a[0].Score - score[a[0].ID]); d > tolerance {
		return fmt.Errorf("%s has %.3f and %.3f", a[0].Name, a[0].Score, score[a[0].ID])
	}
	if a[0].ID != b[0].ID && a[0].Score-a[1].Score > tolerance {
		return fmt.Errorf("%s became %s", a[0].Name, b[0].Name)
	}
	return nil
}

func TestSamePhotoSameLabels(t *testing.T) {
	photos, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "photos", "photo_?0.jpg"))
	if len(photos) == 0 {
		t.Skip("no ../shared/data/photos beside the repository")
	}
	m, err := openModel(modelSettings{}, 5, newLogger(os.Stderr, "error"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, path := range photos {
		samePhoto(t, m, path)
	}
}

// samePhoto compares the labels of one photo as it comes in different files, and in a batch.
func samePhoto(t *testing.T, m *onnx.Model, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := decode.New(decode.Limits{}).Decode(t.Context(), data, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := labelsOf(t, m, data)
	for how, file := range map[string][]byte{
		"as PNG":           asPNG(t, whole.Pixels),
		"as JPEG":          asJPEG(t, whole.Pixels, 97, false),
		"as a turned JPEG": asJPEG(t, whole.Pixels, 97, true),
	} {
		tolerance := 0.02
		if how != "as PNG" {
			tolerance = 0.04 // Go's encoder halves the colours once more, and when turned along the other axis
		}
		if err := sameLabels(want, labelsOf(t, m, file), tolerance); err != nil {
			t.Errorf("%s %s: %v", filepath.Base(path), how, err)
		}
	}
	batch := make([]ocelli.Pixels, 32)
	for i := range batch {
		batch[i] = whole.Pixels
	}
	alone, err := m.Classify(t.Context(), whole.Pixels)
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Classify(t.Context(), batch...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if err := sameLabels(alone[0], all[i], 0.001); err != nil {
			t.Errorf("%s in a batch, at %d: %v", filepath.Base(path), i, err)
		}
	}
}
