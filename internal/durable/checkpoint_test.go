package durable

import (
	"cmp"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// openWith opens a journaled tree on the system and closes it after the test.
func openWith(t *testing.T, dir string, sys system, syncfs func(*os.File) error) *Tree {
	t.Helper()
	tree, err := open(dir, sys, syncfs)
	if err != nil {
		t.Fatal(err)
	}
	if tree.journal == nil {
		t.Skip("the file system of the tests' folder is not fit for a journal")
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil {
			t.Error(err)
		}
	})
	return tree
}

func put(t *testing.T, tree *Tree, name, content string) {
	t.Helper()
	if _, err := tree.Put(t.Context(), name, strings.NewReader(content)); err != nil {
		t.Error(err)
	}
}

// wantSoon fails the test where do does not return.
func wantSoon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error(what, "has to wait")
	}
}

// A flush of the file system takes as long as other programs have written to it. Meanwhile all goes on in the next log.
func TestNobodyWaitsForACheckpoint(t *testing.T) {
	dir := t.TempDir()
	begun, end := make(chan struct{}), make(chan struct{})
	trees := []*Tree{
		openWith(t, dir, kernel{}, func(*os.File) error { begun <- struct{}{}; <-end; return nil }),
		openWith(t, dir, kernel{}, syncFileSystem),
	}
	for _, tree := range trees {
		put(t, tree, "in/a", "x")
	}
	turned := make(chan error, 1)
	go func() { turned <- trees[0].journal.turnOver() }()
	<-begun
	wantSoon(t, "a writer of the same process", func() { put(t, trees[0], "in/b", "x") })
	wantSoon(t, "a writer of another process", func() { put(t, trees[1], "in/c", "x") })
	wantSoon(t, "who opens the tree", func() { openWith(t, dir, kernel{}, syncFileSystem) })
	close(end)
	if err := <-turned; err != nil {
		t.Error(err)
	}
}

// stoppable is a system whose process can be stopped between the record of a file and its name.
type stoppable struct {
	kernel
	armed            atomic.Bool
	stopped, goingOn chan struct{}
}

func newStoppable() *stoppable {
	return &stoppable{stopped: make(chan struct{}), goingOn: make(chan struct{})}
}

func (s *stoppable) Rename(from *os.File, name string, to *os.File, newName string) error {
	if newName == "stops" && s.armed.CompareAndSwap(true, false) {
		close(s.stopped)
		<-s.goingOn
	}
	return s.kernel.Rename(from, name, to, newName)
}

// While a process is stopped in the middle of a write, the others go on, and the log that has its record stays, however often it is tried to drop it.
func TestStoppedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, sys := t.TempDir(), newStoppable()
		sys.armed.Store(true)
		worker, node := openWith(t, dir, sys, syncFileSystem), openWith(t, dir, kernel{}, syncFileSystem)
		put(t, node, "in/a", "a picture")
		saved := make(chan struct{})
		go func() { defer close(saved); put(t, worker, "out/stops", "a result") }()
		<-sys.stopped

		for range 3 {
			if err := node.Remove(t.Context(), "in/a"); err != nil {
				t.Error(err)
			}
			time.Sleep(purgeDelay + 3*patience)
			put(t, node, "in/a", "another")
		}
		time.Sleep(100 * purgeDelay)
		if logs, err := node.journal.logs(); err != nil || len(logs) > 5 {
			t.Errorf("there are %d logs, and nothing was written meanwhile (%v)", len(logs), err)
		}
		openWith(t, dir, kernel{}, syncFileSystem)
		if logs := string(journalBytes(t, dir)); !strings.Contains(logs, "a result") || !strings.Contains(logs, "a picture") {
			t.Error("a log was dropped in which somebody is")
		}

		close(sys.goingOn)
		<-saved
		time.Sleep(purgeDelay + 3*patience)
		if logs := string(journalBytes(t, dir)); strings.Contains(logs, "a result") || strings.Contains(logs, "a picture") {
			t.Error("the log was not dropped when nobody was in it any more")
		}
	})
}

// While a process is stopped that is about to write a name, what the disk refused is not written anew, and nobody waits for that.
func TestStoppedProcessAndRefusedFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, sys, refuse := t.TempDir(), newStoppable(), true
		worker := openWith(t, dir, sys, syncFileSystem)
		node := openWith(t, dir, kernel{}, func(*os.File) error {
			if refuse {
				return unix.EIO
			}
			return nil
		})
		put(t, node, "in/a", "a picture")
		before, err := node.Root().Stat("in/a")
		if err != nil {
			t.Fatal(err)
		}
		if err := node.journal.turnOver(); !errors.Is(err, unix.EIO) {
			t.Errorf("turning over on a disk that refuses: %v", err)
		}
		refuse = false
		sys.armed.Store(true)
		saved := make(chan struct{})
		go func() { defer close(saved); put(t, worker, "out/stops", "a result") }()
		<-sys.stopped
		if err := node.journal.checkpoint(); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("a checkpoint beside a stopped process: %v", err)
		}
		put(t, node, "in/b", "another")
		if !strings.Contains(string(journalBytes(t, dir)), "a picture") {
			t.Error("the journal was dropped that has what the disk refused")
		}
		close(sys.goingOn)
		<-saved
		if err := node.journal.checkpoint(); err != nil {
			t.Error(err)
		}
		after, err := node.Root().Stat("in/a")
		if err != nil {
			t.Fatal(err)
		}
		if os.SameFile(before, after) || strings.Contains(string(journalBytes(t, dir)), "a picture") {
			t.Error("what the disk refused was not written anew, or stands in the journal still")
		}
	})
}

// kill closes a tree as the kernel does when its process is killed: what was to be purged is not.
func kill(t *testing.T, tree *Tree) {
	t.Helper()
	if tree.journal.purge != nil && tree.journal.purge.Stop() {
		tree.journal.purge = nil
		tree.journal.pending.Done()
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
}

// What was removed is not in the journal in a while also where the process that removed it was killed, and whether others have the tree open or not.
func TestPurgeAfterKill(t *testing.T) {
	for name, others := range map[string]bool{"alone": false, "beside others": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				if others {
					openWith(t, dir, kernel{}, syncFileSystem)
				}
				killed, err := open(dir, kernel{}, syncFileSystem)
				if err != nil {
					t.Fatal(err)
				}
				put(t, killed, "in/secret", "a picture")
				if err := killed.Remove(t.Context(), "in/secret"); err != nil {
					t.Error(err)
				}
				kill(t, killed)
				if !strings.Contains(string(journalBytes(t, dir)), "a picture") {
					t.Error("there is nothing left to purge")
				}
				openWith(t, dir, kernel{}, syncFileSystem)
				time.Sleep(purgeDelay + patience)
				if strings.Contains(string(journalBytes(t, dir)), "a picture") {
					t.Error("the removed file is in the journal")
				}
				if marks, err := filepath.Glob(filepath.Join(dir, JournalDir, "*"+purgeSuffix)); len(marks) > 0 {
					t.Errorf("marks of logs that are gone: %q, %v", marks, err)
				}
			})
		})
	}
}

// fullDisk is a flaky disk that can be full: then no file can be written to.
type fullDisk struct {
	*flaky
	full atomic.Bool
}

func (d *fullDisk) Sync(f *os.File) error {
	if info, err := f.Stat(); err != nil || !info.IsDir() && d.full.Load() {
		return cmp.Or(err, error(unix.ENOSPC))
	}
	return d.flaky.Sync(f)
}

// A full disk can be freed through the tree, though what was removed cannot be entered in the journal; and the loss of power brings nothing of it back.
func TestRemoveOnAFullDisk(t *testing.T) {
	d, dir := &fullDisk{flaky: newFlaky()}, t.TempDir()
	tree, other := openWith(t, dir, d, d.syncfs), openWith(t, dir, d, d.syncfs)
	for _, name := range []string{"in/a", "in/b", "in/c"} {
		put(t, tree, name, "a picture")
		put(t, other, "out/"+name, "a result")
	}
	wantAfter := func(want ...string) {
		t.Helper()
		for seed := range uint64(5) {
			after := d.cut(t, dir, rand.New(rand.NewPCG(seed, 3)))
			renewLife(t, after)
			files, err := fs.Glob(openTreeAt(t, after).Root().FS(), "in/*")
			if err != nil || !slices.Equal(files, want) {
				t.Errorf("after the loss of power there are %q, %v, want %q", files, err, want)
			}
		}
	}
	d.full.Store(true)
	if _, err := tree.Put(t.Context(), "in/d", strings.NewReader("x")); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a write to a full disk ended in %v", err)
	}
	for range 2 {
		if err := tree.Remove(t.Context(), "in/a", "in/d"); err != nil {
			t.Error(err)
		}
	}
	wantAfter("in/b", "in/c")
	d.full.Store(false)
	put(t, other, "in/a", "another")
	if err := other.Remove(t.Context(), "in/b"); err != nil {
		t.Error(err)
	}
	put(t, tree, "in/d", "x")
	wantAfter("in/a", "in/c", "in/d")
}
