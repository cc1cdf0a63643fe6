package blobtest_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
)

func TestWritesThatFailed(t *testing.T) {
	for _, fault := range []blobtest.Fault{blobtest.Failed, blobtest.Lost} {
		happened := fault == blobtest.Lost
		t.Run(fmt.Sprint("happened=", happened), func(t *testing.T) {
			ctx, mem := t.Context(), new(blob.Mem)
			store := &blobtest.Faulty{Store: mem, Plan: func(blobtest.Call) blobtest.Fault { return fault }}
			holds := func(key string) bool {
				r, err := mem.Open(ctx, key)
				if err == nil {
					r.Close()
				}
				return err == nil
			}

			if _, err := store.Put(ctx, "put", strings.NewReader("x")); !errors.Is(err, blobtest.ErrFault) {
				t.Errorf("Put: %v", err)
			}
			if holds("put") != happened {
				t.Errorf("after Put the store holds the blob: %t", !happened)
			}
			if won, err := store.Create(ctx, "create", nil); won || !errors.Is(err, blobtest.ErrFault) {
				t.Errorf("Create: %t, %v", won, err)
			}
			if holds("create") != happened {
				t.Errorf("after Create the store holds the blob: %t", !happened)
			}
			if _, err := mem.Put(ctx, "delete", strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
			if err := store.Delete(ctx, "delete"); !errors.Is(err, blobtest.ErrFault) {
				t.Errorf("Delete: %v", err)
			}
			if holds("delete") == happened {
				t.Errorf("after Delete the store holds the blob: %t", happened)
			}
			if store.Calls() != 3 {
				t.Errorf("Calls = %d, want 3", store.Calls())
			}
		})
	}
}

func TestReadsThatFailed(t *testing.T) {
	ctx, mem := t.Context(), new(blob.Mem)
	for _, key := range []string{"a", "b"} {
		if _, err := mem.Put(ctx, key, strings.NewReader("1234")); err != nil {
			t.Fatal(err)
		}
	}
	fault := blobtest.Failed
	store := &blobtest.Faulty{Store: mem, Plan: func(blobtest.Call) blobtest.Fault { return fault }}

	list := func() (keys string, err error) {
		for info, err := range store.List(ctx, "") {
			if err != nil {
				return keys, err
			}
			keys += info.Key
		}
		return keys, nil
	}
	if _, err := store.Open(ctx, "a"); !errors.Is(err, blobtest.ErrFault) {
		t.Errorf("Open: %v", err)
	}
	if keys, err := list(); keys != "" || !errors.Is(err, blobtest.ErrFault) {
		t.Errorf("List: %q, %v", keys, err)
	}

	fault = blobtest.Lost
	r, err := store.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if body, err := io.ReadAll(r); string(body) != "12" || !errors.Is(err, blobtest.ErrFault) {
		t.Errorf("reading: %q, %v; want half of it and the fault", body, err)
	}
	if keys, err := list(); keys != "a" || !errors.Is(err, blobtest.ErrFault) {
		t.Errorf("List: %q, %v; want the first key and the fault", keys, err)
	}
}

// The suite passes through a Faulty store that breaks nothing, so that what a test sees is its own faults.
func TestFaultyWithoutFaults(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store {
		return &blobtest.Faulty{Store: new(blob.Mem), Plan: func(blobtest.Call) blobtest.Fault { return blobtest.None }}
	})
}
