package intake_test

import (
	"context"
	"errors"
	"image/color"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

func codeOf(err error) ocelli.Code {
	if e := ocelli.AsError(err); e != nil {
		return e.Code
	}
	return ""
}

func TestRecogniseReturnsResultsInTheOrderOfUpload(t *testing.T) {
	in := worktest.Start(t, 2).Intake
	red, blue := worktest.Picture(color.RGBA{R: 255, A: 255}, 9, 9), worktest.Picture(color.RGBA{B: 255, A: 255}, 9, 9)
	results, err := in.Recognise(t.Context(), intake.NewJob(), uploads(upload("1", red), upload("2", []byte("text")), upload("3", blue), upload("4", red)), time.Minute)
	if err != nil || len(results) != 4 {
		t.Fatalf("%+v, %v", results, err)
	}
	if results[0].Labels[0].Name != "red" || results[1].Error.Code != ocelli.UnsupportedType ||
		results[2].Labels[0].Name != "blue" || results[3].Labels[0].Name != "red" {
		t.Errorf("got %+v", results)
	}
}

func TestRecogniseSaysWhyThereAreNoResults(t *testing.T) {
	in := worktest.Start(t, 0).Intake
	red := worktest.Picture(color.RGBA{R: 255, A: 255}, 9, 9)
	if _, err := in.Recognise(t.Context(), intake.NewJob(), uploads(upload("x", red)), time.Millisecond); codeOf(err) != ocelli.Unavailable {
		t.Errorf("without workers: %v", err)
	}
	if _, err := in.Recognise(t.Context(), intake.NewJob(), uploads(), time.Millisecond); codeOf(err) != ocelli.NoImages {
		t.Errorf("without images: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := in.Recognise(ctx, intake.NewJob(), uploads(upload("x", red)), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("of a client that left: %v", err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := intake.NewMemory(100)
	request := func(body string, length int64) *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		r.ContentLength = length
		return r
	}
	read := func(body string, length int64) ([]byte, func(), error) { return m.Read(request(body, length), 40) }
	for _, length := range []int64{20, -1} {
		text := strings.Repeat("x", 20)
		body, release, err := read(text, length)
		if string(body) != text || err != nil {
			t.Errorf("%d: %q, %v", length, body, err)
		}
		release()
	}
	for _, length := range []int64{41, -1} {
		if _, release, err := read(strings.Repeat("x", 41), length); codeOf(err) != ocelli.TooLarge {
			t.Errorf("%d: %v", length, err)
		} else {
			release()
		}
	}
	broken := request("", 10)
	broken.Body = io.NopCloser(iotest.ErrReader(errors.New("gone")))
	if _, _, err := m.Read(broken, 40); codeOf(err) != ocelli.BadRequest {
		t.Errorf("broken off: %v", err)
	}
	// All of it is free again, and what one holds no other has.
	_, release, err := read(strings.Repeat("x", 40), 40)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := m.Read(request("0123456789012345", 16).WithContext(ctx), 40); codeOf(err) != ocelli.Overloaded {
		t.Errorf("over the total: %v", err)
	}
	release()
	if _, _, err := read("x", 1); err != nil {
		t.Errorf("after release: %v", err)
	}
}
