package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/tiff"

	"github.com/ocelli/ocelli"
)

// smooth returns a picture without hard edges.
func smooth(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{byte(255 * x / w), byte(255 * y / h), byte(255 * (x + y) / (w + h)), 255})
		}
	}
	return m
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// fails checks that decoding data ends with an error of the code whose message contains all the words.
func fails(t *testing.T, d *Decoder, data []byte, code ocelli.Code, words ...string) {
	t.Helper()
	_, err := d.Decode(context.Background(), data, 224)
	e := ocelli.AsError(err)
	if e == nil || e.Code != code {
		t.Fatalf("error is %v, want one of code %s", err, code)
	}
	for _, w := range words {
		if !strings.Contains(e.Message, w) {
			t.Errorf("message is %q, want it to contain %q", e.Message, w)
		}
	}
}

func TestJPEGIsScaledToNoLessThanTheShortSide(t *testing.T) {
	data := jpegOf(t, smooth(800, 600))
	for _, test := range []struct{ shortSide, w, h int }{
		{0, 800, 600}, {1000, 800, 600}, {600, 800, 600}, {526, 800, 600}, {525, 700, 525}, {224, 300, 225}, {75, 100, 75}, {1, 100, 75},
	} {
		p, err := New(Limits{}).Decode(context.Background(), data, test.shortSide)
		if err != nil {
			t.Fatal(err)
		}
		if p.Width != test.w || p.Height != test.h || p.FullWidth != 800 || p.FullHeight != 600 {
			t.Errorf("short side %d gives %d × %d of %d × %d, want %d × %d of 800 × 600", test.shortSide, p.Width, p.Height, p.FullWidth, p.FullHeight, test.w, test.h)
		}
		want := pixelsOf(smooth(p.Width, p.Height))
		if most, mean := difference(t, p.Pixels, want); most > 9 || mean > 2 {
			t.Errorf("short side %d: differs by up to %d, %.2f in the mean", test.shortSide, most, mean)
		}
	}
}

func pixelsOf(m *image.RGBA) ocelli.Pixels {
	p := ocelli.Pixels{Width: m.Rect.Dx(), Height: m.Rect.Dy()}
	for i := 0; i < len(m.Pix); i += 4 {
		p.RGB = append(p.RGB, m.Pix[i:i+3]...)
	}
	return p
}

func TestOtherFormatsAreAveragedInBoxes(t *testing.T) {
	data := pngOf(t, smooth(1000, 701))
	p, err := New(Limits{}).Decode(context.Background(), data, 100)
	if err != nil {
		t.Fatal(err)
	}
	if p.Width != 334 || p.Height != 234 || p.FullWidth != 1000 || p.FullHeight != 701 {
		t.Errorf("got %d × %d of %d × %d, want 334 × 234 of 1000 × 701", p.Width, p.Height, p.FullWidth, p.FullHeight)
	}
	if most, mean := difference(t, p.Pixels, pixelsOf(smooth(334, 234))); most > 3 || mean > 1 {
		t.Errorf("differs by up to %d, %.2f in the mean", most, mean)
	}
}

func TestBoxesAverageWhatIsThere(t *testing.T) {
	r := rows{width: 3, height: 3, row: func(dst []byte, y int) {
		for i := range dst {
			dst[i] = byte(10*y + i/3)
		}
	}}
	got, err := r.average(context.Background(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	// The last box of a row or column is as small as what is left: (0+1+10+11)/4, (2+12)/2, (20+21)/2, 22.
	want := []byte{6, 6, 6, 7, 7, 7, 21, 21, 21, 22, 22, 22}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestUpright(t *testing.T) {
	// a b c      The expected letters follow the table of EXIF: which side of the picture the first row and the first
	// d e f      column of the file are.
	const file = "abcdef"
	for orientation, want := range []string{"abcdef", "abcdef", "cbafed", "fedcba", "defabc", "ad be cf", "da eb fc", "fc eb da", "cf be ad", "abcdef"} {
		p := ocelli.Pixels{Width: 3, Height: 2}
		for _, c := range []byte(file) {
			p.RGB = append(p.RGB, c, c, c)
		}
		got := upright(p, orientation)
		letters := ""
		for i := 0; i < len(got.RGB); i += 3 {
			letters += string(got.RGB[i])
		}
		if letters != strings.ReplaceAll(want, " ", "") {
			t.Errorf("orientation %d gives %s, want %s", orientation, letters, want)
		}
		if turned(orientation) != (got.Width == 2) || got.Width*got.Height != 6 {
			t.Errorf("orientation %d gives %d × %d", orientation, got.Width, got.Height)
		}
	}
}

func TestSixteenBitsAndInks(t *testing.T) {
	gray := image.NewGray16(image.Rect(0, 0, 2, 1))
	gray.SetGray16(0, 0, color.Gray16{0x80ff})
	deep := image.NewNRGBA64(image.Rect(0, 0, 2, 1))
	deep.SetNRGBA64(0, 0, color.NRGBA64{0xffff, 0, 0, 0x8000}) // half of red over white
	var deepTIFF bytes.Buffer
	if err := tiff.Encode(&deepTIFF, deep, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what string
		data []byte
		want [3]byte
	}{
		{"grey PNG of 16 bits", pngOf(t, gray), [3]byte{0x80, 0x80, 0x80}},
		{"PNG of 16 bits with alpha", pngOf(t, deep), [3]byte{255, 127, 127}},
		{"TIFF of 16 bits with alpha", deepTIFF.Bytes(), [3]byte{255, 127, 127}},
	} {
		p, err := New(Limits{}).Decode(context.Background(), test.data, 0)
		if err != nil {
			t.Fatalf("%s: %v", test.what, err)
		}
		if got := [3]byte(p.RGB[:3]); got != test.want {
			t.Errorf("%s: first pixel is %v, want %v", test.what, got, test.want)
		}
	}
}

func TestTruncatedFilesAreRefused(t *testing.T) {
	for _, name := range []string{"plain.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "rgb.gif", "lossy.webp", "lossless.webp", "rgb.bmp", "rgb.tif", "lzw.tif", "plain.avif"} {
		data := read(t, name)
		for _, n := range []int{20, len(data) / 2, len(data) * 9 / 10} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				fails(t, New(Limits{}), data[:n], ocelli.CorruptImage)
			})
		}
	}
	data := read(t, "plain.jpg")
	fails(t, New(Limits{}), data[:len(data)/2], ocelli.CorruptImage, "cut short")
}

func TestJPEGThatOnlyLacksItsEndIsRead(t *testing.T) {
	data := read(t, "plain.jpg")
	p, err := New(Limits{}).Decode(context.Background(), data[:len(data)-2], 0)
	if err != nil {
		t.Fatal(err)
	}
	if most, _ := difference(t, p.Pixels, expected(t, "plain.jpg")); most > 0 {
		t.Errorf("differs by up to %d", most)
	}
}

func TestSpareBytesAreHarmless(t *testing.T) {
	data := read(t, "plain.jpg")
	data = slices.Concat(data[:20], []byte("spare"), data[20:], []byte("<html>"))
	if _, err := New(Limits{}).Decode(context.Background(), data, 0); err != nil {
		t.Error(err)
	}
}

// frameHeader returns the offset of the length of the first frame header of a JPEG.
func frameHeader(t testing.TB, data []byte) int {
	t.Helper()
	for i := 2; i+4 < len(data); i += 2 + int(binary.BigEndian.Uint16(data[i+2:])) {
		if m := data[i+1]; m == 0xc0 || m == 0xc2 {
			return i + 2
		}
	}
	t.Fatal("no frame header")
	return 0
}

func TestUnusualJPEGs(t *testing.T) {
	plain := read(t, "plain.jpg")
	f := frameHeader(t, plain)
	change := func(at int, b byte) []byte {
		data := bytes.Clone(plain)
		data[at] = b
		return data
	}
	d := New(Limits{})
	fails(t, d, change(f-1, 0xc3), ocelli.UnsupportedType, "lossless")
	fails(t, d, change(f+2, 12), ocelli.UnsupportedType, "12 bits")
	fails(t, d, change(f+7, 2), ocelli.UnsupportedType, "2 colour components")
	fails(t, d, change(f+9, 0), ocelli.CorruptImage, "sampling")
	none := bytes.Clone(plain)
	copy(none[f+3:], "\x00\x00\x00\x00")
	fails(t, d, none, ocelli.CorruptImage, "0 × 0")
	fails(t, d, plain[:4], ocelli.CorruptImage, "cut short")
}

func TestContextEndsDecoding(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range []string{"plain.jpg", "rgb.png"} {
		_, err := New(Limits{}).Decode(ctx, read(t, name), 0)
		if !errors.Is(err, context.Canceled) || ocelli.AsError(err) != nil {
			t.Errorf("%s: error is %v, want the context's", name, err)
		}
	}
}

func TestEqualPicturesOfTwoFormatsAreEqual(t *testing.T) {
	full, err := New(Limits{}).Decode(context.Background(), jpegOf(t, smooth(300, 200)), 0)
	if err != nil {
		t.Fatal(err)
	}
	m := image.NewRGBA(image.Rect(0, 0, 300, 200))
	for i := range 300 * 200 {
		copy(m.Pix[4*i:], full.RGB[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	again, err := New(Limits{}).Decode(context.Background(), pngOf(t, m), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(full.RGB, again.RGB) {
		t.Error("the PNG of a JPEG's pixels has other pixels")
	}
}

// Memory that is used again shows nothing of the picture that had it before, and what is still held is left alone.
func TestReleasedPixelsAreUsedAgain(t *testing.T) {
	d := New(Limits{})
	decode := func(data []byte) Picture {
		p, err := d.Decode(context.Background(), data, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	large, small := jpegOf(t, smooth(300, 200)), jpegOf(t, smooth(64, 48))
	wantLarge, wantSmall := decode(large), decode(small)
	shared := false
	for range 100 { // the pool may lose what it was given
		first := decode(large)
		was := &first.RGB[0]
		first.Release()
		if first.RGB != nil {
			t.Fatal("a picture has pixels after its release")
		}
		second, third := decode(small), decode(large)
		shared = shared || &second.RGB[0] == was
		if !bytes.Equal(second.RGB, wantSmall.RGB) || !bytes.Equal(third.RGB, wantLarge.RGB) {
			t.Fatal("pixels differ in memory that was used before")
		}
		if _, err := d.Decode(context.Background(), large[:len(large)/2], 0); err == nil {
			t.Fatal("half a file was decoded")
		}
	}
	if !shared {
		t.Error("no memory was used again")
	}
}
