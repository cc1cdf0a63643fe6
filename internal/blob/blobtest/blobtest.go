// Package blobtest holds the suite that every [blob.Store] passes, and a store that fails on purpose.
package blobtest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/blob"
)

// Run tests the contract of [blob.Store]. Each test calls open for an empty store of its own; open registers with
// t what is to be cleaned up.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, blob.Store)
	}{
		{"what was put is read", testPut},
		{"a blob larger than any buffer", testLarge},
		{"put replaces", testReplace},
		{"a reader that fails stores nothing", testReaderFails},
		{"put stops when its context ends", testContext},
		{"the first create wins", testCreate},
		{"one of many creates wins", testCreateRace},
		{"readers see whole blobs", testReadersSeeWholeBlobs},
		{"keys that are not allowed", testBadKeys},
		{"the longest key", testLongestKey},
		{"list in the order of keys", testListOrder},
		{"list by prefix", testListPrefix},
		{"list and delete more than a page", testPages},
		{"list stops when told to", testListStops},
		{"delete", testDelete},
		{"delete beside put", testDeleteBesidePut},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// put stores body under key, and fails the test where that fails.
func put(t *testing.T, s blob.Store, key, body string) {
	t.Helper()
	n, err := s.Put(t.Context(), key, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(len(body)) {
		t.Fatalf("Put(%s) = %d bytes, want %d", key, n, len(body))
	}
}

// get returns the bytes under key.
func get(ctx context.Context, s blob.Store, key string) ([]byte, error) {
	r, err := s.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// wantBody fails the test unless key holds body.
func wantBody(t *testing.T, s blob.Store, key, body string) {
	t.Helper()
	got, err := get(t.Context(), s, key)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != body {
		t.Fatalf("%s holds %.100q (%d bytes), want %.100q (%d bytes)", key, got, len(got), body, len(body))
	}
}

// wantNothing fails the test unless key holds nothing.
func wantNothing(t *testing.T, s blob.Store, key string) {
	t.Helper()
	body, err := get(t.Context(), s, key)
	if !errors.Is(err, blob.ErrNotFound) {
		t.Fatalf("%s: %d bytes, error %v; want ErrNotFound", key, len(body), err)
	}
}

// wantKeys fails the test unless the list of prefix has exactly the keys, in that order.
func wantKeys(t *testing.T, s blob.Store, prefix string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, keys(t, s, prefix)); diff != "" {
		t.Errorf("keys that begin with %q (-want +got):\n%s", prefix, diff)
	}
}

// keys returns the listed keys.
func keys(t *testing.T, s blob.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// pattern returns n bytes, the same each time, that do not repeat.
func pattern(n int) []byte {
	body := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(body)
	return body
}
