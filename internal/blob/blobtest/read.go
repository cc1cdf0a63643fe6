package blobtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
)

// badKeys are what an attacker, or a mistake, may give for a key.
var badKeys = []string{
	"", "/", "//", ".", "..", "/a", "a/", "a//b", "a/./b", "a/../b", "../a", "a/..", "../../../etc/passwd", "/etc/passwd",
	"a\x00b", "a b", "a\nb", `a\b`, `..\a`, "a%2fb", "ä", "a\xff", "C:a", "a:b", "a*", "~", "+tmp/x",
	strings.Repeat("a", 201), "a/" + strings.Repeat("b", 201) + "/c", strings.Repeat("a/", 2000) + "a",
}

func testBadKeys(t *testing.T, s blob.Store) {
	for _, key := range badKeys {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err == nil {
			t.Errorf("Put took the key %.50q", key)
		}
		if _, err := s.Create(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("Create took the key %.50q", key)
		}
		if r, err := s.Open(t.Context(), key); err == nil {
			r.Close()
			t.Errorf("Open took the key %.50q", key)
		}
		if err := s.Delete(t.Context(), "fine", key); err == nil {
			t.Errorf("Delete took the key %.50q", key)
		}
	}
	for _, prefix := range []string{"/", "../", "a//", "a/../", "a/./b", "a\x00", "%", strings.Repeat("a", 201)} {
		failed := false
		for _, err := range s.List(t.Context(), prefix) {
			failed = failed || err != nil
		}
		if !failed {
			t.Errorf("List took the prefix %.50q", prefix)
		}
	}
	wantKeys(t, s, "")
}

func testLongestKey(t *testing.T, s blob.Store) {
	part := strings.Repeat("p", 199)
	long := strings.Join([]string{part, part, part, part + "x"}, "/")[:blob.MaxKey]
	put(t, s, long, "x")
	wantBody(t, s, long, "x")
	wantKeys(t, s, long[:700], long)
	if _, err := s.Put(t.Context(), long+"/x", strings.NewReader("x")); err == nil {
		t.Errorf("Put took a key of %d bytes", len(long)+2)
	}
}

// tricky are keys in their lexical order, which is not the order of a walk through sorted folders: "-" and "."
// come before "/".
var tricky = []string{
	"a-b", "a.b/c", "a/b", "a/b-c/d", "a/b.c", "a/bc/d", "a/bc/e", "a0/x", "aa", "b/1", "b/10", "b/2", "b_/x", "c",
}

func testListOrder(t *testing.T, s blob.Store) {
	begin := time.Now()
	for _, i := range rand.Perm(len(tricky)) {
		put(t, s, tricky[i], strings.Repeat("x", i))
	}
	wantKeys(t, s, "", tricky...)
	i := 0
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != int64(i) {
			t.Errorf("%s has the size %d, want %d", info.Key, info.Size, i)
		}
		// The clock may be another machine's.
		if off := info.Modified.Sub(begin).Abs(); off > time.Hour {
			t.Errorf("%s was modified at %v, which is %v off", info.Key, info.Modified, off)
		}
		i++
	}
}

func testListPrefix(t *testing.T, s blob.Store) {
	wantKeys(t, s, "")
	wantKeys(t, s, "nothing/")
	for _, key := range []string{"input/job1/a", "input/job1/b", "input/job10/a", "input/job2/a", "input.txt", "output/job1/a"} {
		put(t, s, key, "x")
	}
	wantKeys(t, s, "input/job1/", "input/job1/a", "input/job1/b")
	wantKeys(t, s, "input/job1", "input/job1/a", "input/job1/b", "input/job10/a")
	wantKeys(t, s, "input/job1/b", "input/job1/b")
	wantKeys(t, s, "input/job1/a/")
	wantKeys(t, s, "input/job1/a/b")
	wantKeys(t, s, "input", "input.txt", "input/job1/a", "input/job1/b", "input/job10/a", "input/job2/a")
	wantKeys(t, s, "o", "output/job1/a")
	wantKeys(t, s, "input/job3/")
	wantKeys(t, s, "INPUT/")
	wantKeys(t, s, ".")
	wantKeys(t, s, "..")
}

// manyKeys is more than the 1000 keys that S3 lists or deletes at once.
const manyKeys = 1025

func testPages(t *testing.T, s blob.Store) {
	all := make([]string, manyKeys)
	var group sync.WaitGroup
	for worker := range 32 {
		group.Go(func() {
			for i := worker; i < manyKeys; i += 32 {
				all[i] = fmt.Sprintf("many/%02d/%04d", i/100, i)
				if _, err := s.Put(t.Context(), all[i], strings.NewReader("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantKeys(t, s, "many/", all...)
	wantKeys(t, s, "many/09/09", all[900:1000]...)
	if err := s.Delete(t.Context(), all[1:]...); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, "", all[0])
}

func testListStops(t *testing.T, s blob.Store) {
	for _, key := range []string{"a", "b/1", "b/2", "c"} {
		put(t, s, key, "x")
	}
	for stop := 1; stop <= 3; stop++ {
		seen := 0
		for _, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == stop {
				break
			}
		}
		if seen != stop {
			t.Errorf("saw %d keys, want %d", seen, stop)
		}
	}
}

func testDelete(t *testing.T, s blob.Store) {
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("deleting no keys: %v", err)
	}
	for _, key := range []string{"a/1", "a/2", "b/c/d/e", "f"} {
		put(t, s, key, "x")
	}
	old, err := s.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	// What holds nothing, a folder, what lies below a blob, and a repetition are no errors.
	if err := s.Delete(t.Context(), "f", "a/1", "nothing", "b/nothing/x", "b", "b/c", "a/2/x", "f"); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, s, "a/1")
	wantNothing(t, s, "f")
	wantKeys(t, s, "", "a/2", "b/c/d/e")
	if err := s.Delete(t.Context(), "b/c/d/e", "a/2"); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s, "")
	put(t, s, "b/c/d/e", "again")
	wantBody(t, s, "b/c/d/e", "again")
	put(t, s, "a", "where a folder was")
	wantBody(t, s, "a", "where a folder was")
}

// testDeleteBesidePut puts into folders that another goroutine empties at the same time.
func testDeleteBesidePut(t *testing.T, s blob.Store) {
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			key := fmt.Sprintf("shared/folder/deep/%d", worker)
			for range 10 {
				if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err != nil {
					t.Error(err)
				}
				if _, err := get(t.Context(), s, key); err != nil {
					t.Errorf("after Put: %v", err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
				if _, err := get(t.Context(), s, key); !errors.Is(err, blob.ErrNotFound) {
					t.Errorf("after Delete: %v", err)
				}
				if won, err := s.Create(t.Context(), key, nil); err != nil || !won {
					t.Errorf("Create after Delete = %t, %v", won, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantKeys(t, s, "")
}
