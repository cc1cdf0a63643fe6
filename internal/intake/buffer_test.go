package intake

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestBuffersHoldNoMoreThanTheirRoom(t *testing.T) {
	in := new(Intake)
	read := func(n int) (*buffer, bool) {
		t.Helper()
		src := bytes.NewReader(bytes.Repeat([]byte("x"), n))
		b, whole, err := in.fill(iotest.HalfReader(src))
		if err != nil || len(b.data)+src.Len() != n {
			t.Fatalf("of %d bytes %d were read and %d are left: %v", n, len(b.data), src.Len(), err)
		}
		return b, whole
	}
	for n, want := range map[int]bool{0: true, 1: true, 8 << 10: true, 8<<10 + 1: true, smallBytes: true, smallBytes + 1: false, 10 * smallBytes: false} {
		b, whole := read(n)
		if whole != want || n < 8<<10 && b.held != 8<<10 {
			t.Errorf("of %d bytes whole: %v, with room for %d", n, whole, b.held)
		}
		b.release()
	}
	if left := in.held.Load(); left != 0 {
		t.Fatalf("%d bytes of room were not given back", left)
	}
	var all []*buffer
	for {
		b, whole := read(smallBytes)
		all = append(all, b)
		if !whole {
			break // written as it comes
		}
		if in.held.Load() > bufferBytes || len(all) > 2*bufferBytes/smallBytes {
			t.Fatalf("%d buffers hold %d bytes", len(all), in.held.Load())
		}
	}
	if len(all) < bufferBytes/smallBytes/2 {
		t.Errorf("there was room for %d images only", len(all))
	}
	for _, b := range all {
		b.release()
	}
	if left := in.held.Load(); left != 0 {
		t.Errorf("%d bytes of room were not given back", left)
	}
	broken := errors.New("the line is cut")
	b, whole, err := in.fill(io.MultiReader(bytes.NewReader(make([]byte, 9<<10)), iotest.ErrReader(broken)))
	if whole || !errors.Is(err, broken) {
		t.Errorf("an upload that breaks off: %v, %v", whole, err)
	}
	b.release()
	if left := in.held.Load(); left != 0 {
		t.Errorf("%d bytes of room were not given back", left)
	}
}
