package fileblob

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
)

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return openStore(t, t.TempDir()) })
}

// A folder with more names than are held at a time is read several times, and gives each name once.
func TestListOfLargeFolder(t *testing.T) {
	s := openStore(t, t.TempDir())
	root := s.tree.Root()
	var want []string
	for i := range 60 {
		name := fmt.Sprintf("in/%03d", i)
		if err := root.MkdirAll(name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(name+"/x", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, name+"/x")
	}
	for _, maxNames := range []int{1, 7, 59, 60, 61} {
		var got []string
		l := lister{ctx: t.Context(), maxNames: maxNames, yield: func(info blob.Info, _ error) bool {
			got = append(got, info.Key)
			return true
		}}
		if err := l.folder(root, "in", "in/", ""); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("with %d names at a time (-want +got):\n%s", maxNames, diff)
		}
	}
}

// What people and other programs leave in the folder is no blob, and nothing outside of the folder is reached.
func TestStrangersInTheFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := openStore(t, dir)
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a b", "café", "x~"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"", "f", "folder/"} {
		for info, err := range s.List(t.Context(), prefix) {
			if err == nil {
				t.Errorf("List(%q) yielded %s", prefix, info.Key)
			}
		}
	}
	for _, key := range []string{"folder/secret", "file"} {
		if r, err := s.Open(t.Context(), key); err == nil {
			r.Close()
			t.Errorf("Open(%s) reached outside", key)
		}
	}
	if _, err := s.Put(t.Context(), "folder/new", strings.NewReader("x")); err == nil {
		t.Error("Put reached outside")
	}
}

func TestKeysBelowKeys(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, key := range []string{"a/b", "c"} {
		if _, err := s.Create(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "a/b/c", "c/d/e"} {
		if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "below another key") {
			t.Errorf("Put(%s): %v", key, err)
		}
		if _, err := s.Create(t.Context(), key, nil); err == nil || !strings.Contains(err.Error(), "below another key") {
			t.Errorf("Create(%s): %v", key, err)
		}
	}
}

func TestFailed(t *testing.T) {
	s := &Store{dir: "/data"}
	for errno, want := range map[error]string{
		unix.ENOSPC: "put k: no space left in the store: free some space on the disk of /data or raise its quota (write: no space left on device)",
		unix.EDQUOT: "put k: no space left in the store: free some space on the disk of /data or raise its quota (write: disk quota exceeded)",
		unix.EROFS:  "put k: the file system of /data has become read-only; look at its disk (write: read-only file system)",
		unix.EIO:    "put k: write: input/output error",
	} {
		err := s.failed("put k", os.NewSyscallError("write", errno))
		if err.Error() != want || !errors.Is(err, errno) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if full := errno == unix.ENOSPC || errno == unix.EDQUOT; errors.Is(err, blob.ErrFull) != full {
			t.Errorf("%v is ErrFull: %t", errno, !full)
		}
	}
}
