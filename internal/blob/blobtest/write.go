package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/ocelli/ocelli/internal/blob"
)

func testPut(t *testing.T, s blob.Store) {
	bodies := map[string]string{
		"a": "x", "input/01JD-x/01JD-x-0001": "an image", "output/1/2/3/4.json": "{}", "empty": "",
		"A_b-c.d": "every kind of byte", "...": "dots alone", "bytes": "\x00\xff\r\n",
	}
	for key, body := range bodies {
		put(t, s, key, body)
	}
	for key, body := range bodies {
		wantBody(t, s, key, body)
	}
	wantNothing(t, s, "b")
	wantNothing(t, s, "input")
	wantNothing(t, s, "input/01JD-x")
	wantNothing(t, s, "a/below-a-blob")
}

func testLarge(t *testing.T, s blob.Store) {
	body := pattern(9<<20 + 1) // more than one part of an upload to S3, whose parts have 5 MiB or more
	// HalfReader returns less than it is asked for, as a network does.
	n, err := s.Put(t.Context(), "large", iotest.HalfReader(bytes.NewReader(body)))
	if err != nil || n != int64(len(body)) {
		t.Fatalf("Put = %d, %v; want %d bytes", n, err, len(body))
	}
	got, err := get(t.Context(), s, "large")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, body) {
		t.Fatalf("read %d bytes that are not the %d that were put", len(got), len(body))
	}
}

func testReplace(t *testing.T, s blob.Store) {
	put(t, s, "k/v", "the first, which is longer")
	old, err := s.Open(t.Context(), "k/v")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	put(t, s, "k/v", "the second")
	wantBody(t, s, "k/v", "the second")
	if body, err := io.ReadAll(old); err == nil && string(body) != "the first, which is longer" {
		t.Errorf("a reader from before the second put got %q", body)
	}
	put(t, s, "k/v", "")
	wantBody(t, s, "k/v", "")
	wantKeys(t, s, "", "k/v")
}

func testReaderFails(t *testing.T, s blob.Store) {
	broken := errors.New("the line was cut")
	cut := func() io.Reader { return io.MultiReader(bytes.NewReader(pattern(300<<10)), iotest.ErrReader(broken)) }

	if _, err := s.Put(t.Context(), "new/key", cut()); !errors.Is(err, broken) {
		t.Errorf("Put returned %v, want the error of the reader", err)
	}
	wantNothing(t, s, "new/key")
	put(t, s, "old", "as it was")
	if _, err := s.Put(t.Context(), "old", cut()); !errors.Is(err, broken) {
		t.Errorf("Put returned %v, want the error of the reader", err)
	}
	wantBody(t, s, "old", "as it was")
	wantKeys(t, s, "", "old")
}

func testContext(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "a", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put returned %v, want context.Canceled", err)
	}
	if _, err := s.Create(ctx, "a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Create returned %v, want context.Canceled", err)
	}
	if _, err := s.Open(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open returned %v, want context.Canceled", err)
	}
	if err := s.Delete(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete returned %v, want context.Canceled", err)
	}
	wantNothing(t, s, "a")
	put(t, s, "a", "x")
	for _, err := range s.List(ctx, "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("List yielded %v, want context.Canceled", err)
		}
	}
}

func testCreate(t *testing.T, s blob.Store) {
	create := func(key, body string, want bool) {
		t.Helper()
		if won, err := s.Create(t.Context(), key, []byte(body)); err != nil || won != want {
			t.Errorf("Create(%s, %q) = %t, %v; want %t", key, body, won, err, want)
		}
	}
	create("output/job/image.json", "first", true)
	create("output/job/image.json", "second", false)
	wantBody(t, s, "output/job/image.json", "first")

	put(t, s, "put", "before")
	create("put", "after", false)
	put(t, s, "output/job/image.json", "put replaces what was created")
	wantBody(t, s, "output/job/image.json", "put replaces what was created")

	create("empty", "", true)
	create("empty", "x", false)
	wantBody(t, s, "empty", "")

	if err := s.Delete(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
	create("empty", "again", true)
	wantBody(t, s, "empty", "again")
}

func testCreateRace(t *testing.T, s blob.Store) {
	const writers, rounds = 8, 12
	for round := range rounds {
		key := fmt.Sprintf("race/%d/key", round)
		var wins atomic.Int32
		var group sync.WaitGroup
		for writer := range writers {
			group.Go(func() {
				won, err := s.Create(t.Context(), key, bytes.Repeat([]byte{byte('a' + writer)}, 10_000))
				if err != nil {
					t.Error(err)
				}
				if won {
					wins.Add(1)
				}
				// Winner or loser, whoever returned sees the winner's bytes, all of them.
				body, err := get(t.Context(), s, key)
				if err != nil || len(body) != 10_000 || bytes.Count(body, body[:1]) != len(body) {
					t.Errorf("%s: after Create there are %d bytes of one writer, error %v", key, len(body), err)
				}
			})
		}
		group.Wait()
		if wins.Load() != 1 {
			t.Errorf("%s: %d writers were told that they won, want 1", key, wins.Load())
		}
	}
}

func testReadersSeeWholeBlobs(t *testing.T, s blob.Store) {
	const size, puts = 100_000, 30
	put(t, s, "a/b", strings.Repeat("a", size))
	var writer sync.WaitGroup
	var done atomic.Bool
	writer.Go(func() {
		defer done.Store(true)
		for i := range puts {
			body := strings.Repeat(string(rune('a'+i%26)), size)
			if _, err := s.Put(t.Context(), "a/b", strings.NewReader(body)); err != nil {
				t.Error(err)
			}
		}
	})
	for !done.Load() {
		body, err := get(t.Context(), s, "a/b")
		if errors.Is(err, blob.ErrNotFound) {
			t.Error("a blob that is being replaced was not found")
		}
		if err == nil && (len(body) != size || bytes.Count(body, body[:1]) != size) {
			t.Errorf("read %d bytes that nobody put like that", len(body))
		}
	}
	writer.Wait()
}
