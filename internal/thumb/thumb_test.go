package thumb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/thumb"
)

// TestMain is the child, too: what it does stands in its argument.
func TestMain(m *testing.M) {
	switch os.Args[len(os.Args)-1] {
	case "serve":
		if err := thumb.Serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "once": // ends when it has made one copy, as one does that somebody kills
		size := make([]byte, 4)
		if _, err := io.ReadFull(os.Stdin, size); err != nil {
			os.Exit(1)
		}
		one := io.LimitReader(os.Stdin, int64(binary.LittleEndian.Uint32(size)))
		_ = thumb.Serve(io.MultiReader(bytes.NewReader(size), one), os.Stdout)
		os.Exit(0)
	case "crash":
		_, _ = os.Stdin.Read(make([]byte, 4))
		os.Exit(3)
	case "lie":
		_, _ = os.Stdout.WriteString("j\xff\xff\xff\xff")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, does string) *thumb.Maker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := thumb.NewMaker([]string{self, does}, t.Output(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return m
}

// picture is red above and blue below.
func picture(t *testing.T, width, height int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.RGBA{R: 200, A: 255}
			if y >= height/2 {
				c = color.RGBA{B: 200, A: 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func of(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func TestCopiesAreSmallAndOfTheSamePicture(t *testing.T) {
	m := start(t, "serve")
	for _, test := range []struct{ width, height, wantWidth, wantHeight int }{
		{1300, 970, 434, 324}, {970, 1300, 324, 434}, {40, 30, 40, 30}, {1, 1, 1, 1}, {4000, 40, 120, 40}, {50, 2000, 50, 150},
	} {
		body, err := m.Make(t.Context(), of(picture(t, test.width, test.height)))
		if err != nil {
			t.Errorf("%d × %d: %v", test.width, test.height, err)
			continue
		}
		got, err := jpeg.Decode(bytes.NewReader(body))
		if err != nil {
			t.Errorf("%d × %d: %v", test.width, test.height, err)
			continue
		}
		size := got.Bounds().Size()
		if max(size.X-test.wantWidth, test.wantWidth-size.X, size.Y-test.wantHeight, test.wantHeight-size.Y) > 1 {
			t.Errorf("%d × %d became %v, want %d × %d", test.width, test.height, size, test.wantWidth, test.wantHeight)
		}
		if test.height < 4 {
			continue
		}
		r, _, _, _ := got.At(size.X/2, size.Y/8).RGBA()
		_, _, b, _ := got.At(size.X/2, size.Y-1-size.Y/8).RGBA()
		if test.height <= 3*test.width && (r>>8 < 150 || b>>8 < 150) {
			t.Errorf("%d × %d: red above is %d and blue below %d", test.width, test.height, r>>8, b>>8)
		}
	}
}

func TestWhatIsNoPictureHasNoCopyAndHarmsNobody(t *testing.T) {
	m := start(t, "serve")
	for _, data := range [][]byte{nil, []byte("words"), picture(t, 90, 90)[:200]} {
		_, err := m.Make(t.Context(), of(data))
		if e := ocelli.AsError(err); e == nil || e.Code != ocelli.CorruptImage || strings.Contains(e.Message, "crashed") {
			t.Errorf("%q: %v, want a sentence about the picture", data, err)
		}
	}
	closed := errors.New("the store is away")
	if _, err := m.Make(t.Context(), func() (io.ReadCloser, error) { return nil, closed }); !errors.Is(err, closed) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Make(t.Context(), of(picture(t, 9, 9))); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestAChildThatFailsCostsItsPictureOnly(t *testing.T) {
	for _, does := range []string{"crash", "lie"} {
		m := start(t, does)
		for range 3 {
			_, err := m.Make(t.Context(), of(picture(t, 9, 9)))
			if e := ocelli.AsError(err); e == nil || !strings.Contains(e.Message, "crashed") {
				t.Errorf("%s: %v", does, err)
			}
		}
	}
}

func TestAChildThatEndsWhileItIsIdleCostsNothing(t *testing.T) {
	m := start(t, "once")
	for range 8 {
		if _, err := m.Make(t.Context(), of(picture(t, 60, 40))); err != nil {
			t.Error(err)
		}
	}
}

func TestManyAtOnceTakeTurns(t *testing.T) {
	m := start(t, "serve")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := m.Make(t.Context(), of(picture(t, 60, 40))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := m.Make(ctx, of(nil)); err == nil {
			t.Error("a copy of nothing was made")
		}
	}
}
