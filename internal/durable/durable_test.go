package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

func openTree(t *testing.T, dir string, sys system) *Tree {
	t.Helper()
	tree, err := open(dir, sys, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

// wantTemp fails the test unless there are so many temporary files, locks not counted.
func wantTemp(t *testing.T, tree *Tree, want int) {
	t.Helper()
	entries, err := fs.ReadDir(tree.Root().FS(), TempDir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			found = append(found, entry.Name())
		}
	}
	if len(found) != want {
		t.Errorf("temporary files: %q, want %d", found, want)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	tree := openTree(t, dir, kernel{})
	if _, err := tree.Put(t.Context(), "c/d", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Create(t.Context(), "e/f", []byte("x")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(filepath.Dir(dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	outside := t.TempDir()
	tree := openTree(t, t.TempDir(), kernel{})
	if err := os.Symlink(outside, filepath.Join(tree.Root().Name(), "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "/a", "a/../b", "../a", "a//b", TempDir, TempDir + "/a", "link/a", "a\x00b"} {
		if _, err := tree.Put(t.Context(), name, strings.NewReader("x")); err == nil {
			t.Errorf("Put took %q", name)
		}
		if _, err := tree.Create(t.Context(), name, nil); err == nil {
			t.Errorf("Create took %q", name)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tree.Remove(t.Context(), "link/a"); err == nil {
		t.Error("Remove went through a link to the outside")
	}
	if _, err := os.Stat(filepath.Join(outside, "a")); err != nil {
		t.Errorf("a file outside: %v", err)
	}
	wantTemp(t, tree, 0)
}

func TestRemovePrunes(t *testing.T) {
	tree := openTree(t, t.TempDir(), kernel{})
	for _, name := range []string{"in/a/b/c", "in/d/e"} {
		if _, err := tree.Put(t.Context(), name, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Remove(t.Context(), "in/a/b/c", "in/x", "in"); err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Root().Stat("in/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder in/a: %v", err)
	}
	if _, err := tree.Root().Stat("in/d/e"); err != nil {
		t.Error(err)
	}
}

// Folders beyond the bound are closed, also while goroutines write into them.
func TestFewFoldersStayOpen(t *testing.T) {
	tree := openTree(t, t.TempDir(), newDisk())
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range maxFolders {
				name := fmt.Sprintf("%d/%d", (i+worker*maxFolders)%(3*maxFolders), worker)
				if _, err := tree.Create(t.Context(), name, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := len(tree.folders.open); n > maxFolders {
		t.Errorf("%d folders are open, want at most %d", n, maxFolders)
	}
	for path, f := range tree.folders.open {
		if f.users != 0 {
			t.Errorf("%s has %d users after all writes ended", path, f.users)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(name)
		if err == nil || !strings.Contains(err.Error(), name+" cannot be used: it is a file, or lies below one; name a folder") {
			t.Errorf("Open(%s): %v", name, err)
		}
	}
	for err, want := range map[error]string{
		unix.EACCES: "this user may not write there",
		unix.EROFS:  "read-only",
		unix.ENOSPC: "full",
		unix.EDQUOT: "full",
		unix.EIO:    "look at its file system",
	} {
		if got := advice(&fs.PathError{Op: "open", Err: err}); !strings.Contains(got, want) {
			t.Errorf("advice on %v is %q, want it to say %q", err, got, want)
		}
	}
}

func TestSyncerSharesFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flushes, hold := 0, make(chan error)
		s := newSyncer(func() error { flushes++; return <-hold })
		first, later := make(chan error, 1), make(chan error, 10)

		go func() { first <- s.sync() }()
		synctest.Wait() // the first flush is under way
		for range 10 {
			go func() { later <- s.sync() }()
		}
		synctest.Wait()

		hold <- nil
		if err := <-first; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(later) != 0 {
			t.Errorf("%d callers shared a flush that began before their calls", len(later))
		}
		hold <- io.ErrUnexpectedEOF
		for range 10 {
			if err := <-later; err != io.ErrUnexpectedEOF {
				t.Errorf("a caller got %v, want the error of its flush", err)
			}
		}
		if flushes != 2 {
			t.Errorf("%d flushes for 11 callers, want 2", flushes)
		}
	})
}
