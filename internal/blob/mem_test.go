package blob_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
)

func TestMem(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return new(blob.Mem) })
}

func TestMemLimit(t *testing.T) {
	ctx, m := t.Context(), &blob.Mem{Limit: 10}
	if _, err := m.Put(ctx, "a", strings.NewReader("12345678")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Put(ctx, "b", strings.NewReader("123")); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Put over the limit returned %v, want ErrFull", err)
	}
	if _, err := m.Create(ctx, "b", []byte("123")); !errors.Is(err, blob.ErrFull) {
		t.Errorf("Create over the limit returned %v, want ErrFull", err)
	}
	if _, err := m.Put(ctx, "a", strings.NewReader("1234567890")); err != nil {
		t.Errorf("replacing within the limit: %v", err)
	}
	if err := m.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Put(ctx, "b", strings.NewReader("1234567890")); err != nil {
		t.Errorf("after Delete there is room again, but: %v", err)
	}
}

func TestMemRefusesKeysBelowKeys(t *testing.T) {
	ctx, m := t.Context(), new(blob.Mem)
	for _, key := range []string{"a/b", "c"} {
		if _, err := m.Create(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "a/b/c", "c/d/e"} {
		if _, err := m.Put(ctx, key, strings.NewReader("x")); err == nil {
			t.Errorf("Put took %s", key)
		}
		if _, err := m.Create(ctx, key, nil); err == nil {
			t.Errorf("Create took %s", key)
		}
	}
}
