package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/natsembed"
)

func TestCleanAsksFirstAndSaysOnlyWhatThereIs(t *testing.T) {
	data := t.TempDir()
	var logged bytes.Buffer
	log := newLogger(&logged, "warn")
	broker, err := natsembed.Start(t.Context(), natsembed.Config{Dir: filepath.Join(data, "queue"), Token: "secret", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	b, err := openEmbedded(t.Context(), broker, data, time.Minute, log) // as `ocelli up` does
	if err != nil {
		t.Fatal(err)
	}
	b.close()
	broker.Shutdown()
	b, err = openToClean(t.Context(), data, urls{}, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.blobs.Put(t.Context(), "input/job/image", strings.NewReader("some bytes")); err != nil {
		t.Fatal(err)
	}
	stored := func() int {
		n, _, err := measure(t.Context(), b.blobs, "input/")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, answer := range []string{"no\n", ""} {
		var out bytes.Buffer
		err := clean(t.Context(), b, nil, false, strings.NewReader(answer), &out)
		if want := "  input/      1 file, 1 kB\n  queue       0 images without a result\nType yes"; !strings.Contains(out.String(), want) {
			t.Errorf("it said\n%swant in it\n%s", &out, want)
		}
		if n := stored(); err == nil || n != 1 {
			t.Errorf("after %q: error %v, and %d images", answer, err, n)
		}
	}
	var out bytes.Buffer
	if err := clean(t.Context(), b, nil, false, strings.NewReader("yes\n"), &out); err != nil {
		t.Error(err)
	}
	if n := stored(); n != 0 {
		t.Errorf("%d images are still there", n)
	}
	if b.close(); logged.Len() > 0 {
		t.Errorf("it logged\n%s", &logged)
	}
}

func TestVolume(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 kB", 1: "1 kB", 999_000: "999 kB", 1_500_000: "1.5 MB", 2_340_000_000: "2.3 GB"} {
		if got := volume(bytes); got != want {
			t.Errorf("volume(%d) = %q, want %q", bytes, got, want)
		}
	}
}
