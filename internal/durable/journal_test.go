package durable

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"
)

// flaky is a system that knows what the loss of power may leave of each file: what was flushed, and of what was not any
// state that the file has had since, whole, cut short or empty.
type flaky struct {
	kernel
	mu      sync.Mutex
	files   map[string]*states // by path
	flushed map[uint64]int     // bytes of a file that surely survive, by inode
	refuses int                // flushes of the file system that will fail
}

// states are the contents that a file may have after the loss of power, of which nil is that it is not there.
type states struct {
	now   []byte
	ino   uint64
	maybe [][]byte
	lost  bool // the disk refused it, and the kernel holds it for clean
}

func newFlaky() *flaky { return &flaky{files: map[string]*states{}, flushed: map[uint64]int{}} }

// pathOf returns the path of a name in an open folder, wherever that is by now.
func pathOf(in *os.File, name string) string {
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", in.Fd()))
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, name)
}

func (d *flaky) at(path string) *states {
	if d.files[path] == nil {
		d.files[path] = &states{maybe: [][]byte{nil}}
	}
	return d.files[path]
}

func (d *flaky) Rename(from *os.File, name string, to *os.File, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := pathOf(from, name)
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	ino := statAt(from, name).Ino
	err = d.kernel.Rename(from, name, to, newName)
	if err == nil {
		s := d.at(pathOf(to, newName))
		s.now, s.ino, s.lost = body, ino, false
		s.maybe = append(s.maybe, body)
		if d.flushed[ino] < len(body) {
			s.maybe = append(s.maybe, []byte{}, body[:len(body)/2])
		}
	}
	return err
}

func (d *flaky) Link(from *os.File, name string, to *os.File, newName string) error {
	panic("only large files are linked, and there are none here")
}

func (d *flaky) Unlink(in *os.File, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := pathOf(in, name)
	if number(name) > 0 { // of a log, what was flushed and what was not
		s := d.at(path)
		s.now, _ = os.ReadFile(path)
		s.maybe = [][]byte{s.now}
	}
	ino := statAt(in, name).Ino
	err := d.kernel.Unlink(in, name)
	if err == nil && filepath.Base(filepath.Dir(path)) != TempDir {
		s := d.at(path)
		s.now, s.lost = nil, false
		s.maybe = append(s.maybe, nil)
		delete(d.flushed, ino)
	}
	return err
}

func (d *flaky) Sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	path := pathOf(f, "")
	if !info.IsDir() {
		d.flushed[inode(f)] = int(info.Size())
		return nil
	}
	for name, s := range d.files {
		if filepath.Dir(name) == path && (s.now == nil || d.flushed[s.ino] >= len(s.now)) {
			s.maybe = [][]byte{s.now}
		}
	}
	return nil
}

// syncfs flushes all there is, or tells once that nothing could be written.
func (d *flaky) syncfs(*os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, s := range d.files {
		switch {
		case number(filepath.Base(path)) > 0:
		case d.refuses > 0:
			s.lost = s.lost || len(s.maybe) > 1 && s.now != nil
		case !s.lost:
			s.maybe = [][]byte{s.now}
		}
	}
	if d.refuses > 0 {
		d.refuses--
		return unix.EIO
	}
	return nil
}

// cut returns a folder as the loss of power at this moment may leave the one at dir.
func (d *flaky) cut(t *testing.T, dir string, random *rand.Rand) string {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	after := t.TempDir()
	for path, s := range d.files {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		body := s.maybe[random.IntN(len(s.maybe))]
		if number(filepath.Base(path)) > 0 && body != nil && s.now != nil {
			if body, err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
			body = tear(body, d.flushed[s.ino], random)
		}
		if body == nil || filepath.Dir(name) == TempDir {
			continue
		}
		if err := os.MkdirAll(filepath.Join(after, filepath.Dir(name)), folderMode); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(after, name), body, fileMode); err != nil {
			t.Fatal(err)
		}
	}
	return after
}

// tear returns what may be left of a log of which so many bytes were flushed: of the rest some part, some of it as zeros.
func tear(body []byte, flushed int, random *rand.Rand) []byte {
	rest := body[flushed : flushed+random.IntN(len(body)-flushed+1)]
	if len(rest) > 0 {
		clear(rest[random.IntN(len(rest)):])
	}
	return body[:flushed+len(rest)]
}

// renewLife makes a log be one of another life, as it is after the loss of power.
func renewLife(t *testing.T, dir string) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, JournalDir, "*"+logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("another"), int64(len(logFormat)+markBytes)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func openJournaled(t *testing.T, dir string, d *flaky) *Tree {
	t.Helper()
	tree, err := open(dir, d, d.syncfs)
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

// history is what one writer did to its files, as far as it was told that it is done, and what it is about to do.
type history struct {
	mu    sync.Mutex
	done  map[string]string // contents, "" where there is none
	doing map[string]string // the same, at the end of a call that has not returned
}

func (h *history) do(name, content string, call func() error) error {
	h.mu.Lock()
	h.doing = map[string]string{name: content}
	h.mu.Unlock()
	err := call()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doing = nil
	h.done[name] = content
	return err
}

// write puts, creates and removes small files until stop is closed.
func (h *history) write(t *testing.T, tree *Tree, writer int, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(uint64(writer), 1))
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		name := fmt.Sprintf("in/%d/%d", random.IntN(5), 100*writer+random.IntN(5))
		content := fmt.Sprintf("%d of %d", i, writer) + strings.Repeat("x", random.IntN(3000))
		var err error
		switch {
		case h.done[name] == "":
			err = h.do(name, content, func() error {
				created, err := tree.Create(t.Context(), name, []byte(content))
				if err == nil && !created {
					return fmt.Errorf("%s is there, and was not before", name)
				}
				return err
			})
		case i%4 == 0:
			err = h.do(name, "", func() error { return tree.Remove(t.Context(), name) })
		default:
			err = h.do(name, content, func() error {
				_, err := tree.Put(t.Context(), name, strings.NewReader(content))
				return err
			})
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// check compares what is there after the loss of power with what was done before.
func (h *history) check(t *testing.T, tree *Tree) {
	t.Helper()
	for name, want := range h.done {
		body, err := tree.Root().ReadFile(name)
		if err != nil && !isAbsent(err) {
			t.Error(err)
		}
		if got := string(body); got != want && (h.doing == nil || h.doing[name] != got) {
			t.Errorf("%s: %d bytes %.20q after the loss of power, want %d bytes %.20q", name, len(got), got, len(want), want)
		}
	}
}

// TestJournalPowerLoss writes from many goroutines through two trees, as two processes would, and cuts the power at
// random moments: what was reported as done must be there when the folder is opened again, whatever else the disk kept. In some runs the disk
// refuses now and then what it is to flush.
func TestJournalPowerLoss(t *testing.T) {
	for seed := range uint64(6) {
		d, dir := newFlaky(), t.TempDir()
		trees := []*Tree{openJournaled(t, dir, d), openJournaled(t, dir, d)}
		histories := make([]history, 6)
		stop := make(chan struct{})
		var group sync.WaitGroup
		for i := range histories {
			histories[i].done = map[string]string{}
			group.Go(func() { histories[i].write(t, trees[i%2], i, stop) })
		}
		random := rand.New(rand.NewPCG(seed, 2))
		for range 2 {
			for range 20 + random.IntN(80) {
				if _, err := trees[0].Put(t.Context(), "beside", strings.NewReader("x")); err != nil {
					t.Error(err)
				}
			}
			if seed%3 == 1 {
				d.mu.Lock()
				d.refuses++
				d.mu.Unlock()
				// Where it was another's checkpoint that was refused, this one is good.
				if err := trees[0].journal.turnOver(); err != nil && !errors.Is(err, unix.EIO) {
					t.Error(err)
				}
			}
			if seed%2 == 0 || seed%3 == 1 { // a new log now and then
				if err := trees[seed/2%2].journal.turnOver(); err != nil {
					t.Error(err)
				}
			}
			// Nobody is told anything between the look at what was done and the cut.
			for i := range histories {
				histories[i].mu.Lock()
			}
			after := d.cut(t, dir, random)
			renewLife(t, after)
			tree := openTreeAt(t, after)
			for i := range histories {
				histories[i].check(t, tree)
				histories[i].mu.Unlock()
			}
		}
		close(stop)
		group.Wait()
		for i := range histories {
			histories[i].check(t, trees[0])
		}
	}
}

// openTreeAt opens a tree as a program does.
func openTreeAt(t *testing.T, dir string) *Tree {
	t.Helper()
	tree, err := Open(dir)
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

// journalBytes returns the bytes of all logs.
func journalBytes(t *testing.T, dir string) (all []byte) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, JournalDir, "*"+logSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, body...)
	}
	return all
}

// What was removed does not stay readable in the journal once the tree is closed.
func TestJournalForgets(t *testing.T) {
	dir := t.TempDir()
	tree, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in/secret", "in/other"} {
		if _, err := tree.Put(t.Context(), name, strings.NewReader("a picture of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Remove(t.Context(), "in/secret"); err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(journalBytes(t, dir), []byte("in/secret")) {
		t.Error("the removed file is in the journal")
	}
	if body, err := os.ReadFile(filepath.Join(dir, "in/other")); string(body) != "a picture of in/other" {
		t.Errorf("the other file: %q, %v", body, err)
	}
}

// Whoever opens a tree that others have open leaves the journal alone, whatever life it seems to be of: it would undo what they do meanwhile. The first
// who has it alone carries it out.
func TestJournalIsCarriedOutAlone(t *testing.T) {
	dir := t.TempDir()
	put := func(tree *Tree, content string) {
		t.Helper()
		if _, err := tree.Put(t.Context(), "in/a", strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	writer, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	put(writer, "old")
	if err := writer.Remove(t.Context(), "in/a"); err != nil {
		t.Fatal(err)
	}
	put(writer, "new")
	renewLife(t, dir)
	before := journalBytes(t, dir)
	visitor, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(journalBytes(t, dir), before) {
		t.Error("the journal was carried out under the hands of a writer")
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	put(visitor, "newer")
	kill(t, visitor)
	renewLife(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "in/a"), nil, fileMode); err != nil { // as the loss of power may leave it
		t.Fatal(err)
	}
	openTreeAt(t, dir)
	if body, err := os.ReadFile(filepath.Join(dir, "in/a")); string(body) != "newer" {
		t.Errorf("after the loss of power: %q, %v", body, err)
	}
	if bytes.Contains(journalBytes(t, dir), []byte("newer")) {
		t.Error("the journal was not dropped")
	}
}

// A large file in place of a small one is not undone by the record of the small one, and the other way round.
func TestJournalAndLargeFiles(t *testing.T) {
	dir := t.TempDir()
	tree := openTreeAt(t, dir)
	large, small := strings.Repeat("l", smallLimit+1), strings.Repeat("s", smallLimit)
	for name, bodies := range map[string][]string{"a": {small, large}, "b": {large, small}, "c": {small, large, small}} {
		for _, body := range bodies {
			if n, err := tree.Put(t.Context(), name, strings.NewReader(body)); err != nil || n != int64(len(body)) {
				t.Fatalf("Put(%s) = %d, %v", name, n, err)
			}
		}
		renewLife(t, dir)
		got, err := openTreeAt(t, dir).Root().ReadFile(name)
		if want := bodies[len(bodies)-1]; string(got) != want {
			t.Errorf("%s has %d bytes after the replay, want %d (%v)", name, len(got), len(want), err)
		}
	}
}

// The journal stays small, however much is written, also by a process that rarely writes.
func TestJournalIsBounded(t *testing.T) {
	dir := t.TempDir()
	busy, rare := openTreeAt(t, dir), openTreeAt(t, dir)
	body := bytes.Repeat([]byte("x"), smallLimit)
	for i := range 3 * logLimit / smallLimit {
		if _, err := busy.Put(t.Context(), fmt.Sprint("f", i%10), bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			if _, err := rare.Create(t.Context(), fmt.Sprint("r", i), body); err != nil {
				t.Fatal(err)
			}
		}
	}
	busy.journal.pending.Wait()
	rare.journal.pending.Wait()
	if n := len(journalBytes(t, dir)); n > 2*logLimit {
		t.Errorf("the journal has %d MB, want at most %d", n>>20, 2*logLimit>>20)
	}
}

// A record inside of a file that somebody uploaded is none, also where a torn record before it makes the reader look for
// the next.
func TestForgedRecord(t *testing.T) {
	var mark [markBytes]byte
	copy(mark[:], "0123456789abcdef")
	forged := record{written, "output/forged", []byte("x")}.appendTo(nil, [markBytes]byte{})
	log := record{written, "input/a", forged}.appendTo([]byte("torn"), mark)
	log = append(log, mark[:7]...)
	log = record{removed, "input/b", nil}.appendTo(log, mark)
	damaged := bytes.Clone(log)
	damaged[4+markBytes] ^= 1
	for want, log := range map[string][]byte{"input/a input/b": log, "input/b": damaged} {
		var names []string
		records(log, mark, func(r record) { names = append(names, r.name) })
		if got := strings.Join(names, " "); got != want {
			t.Errorf("records of %q, want %q", got, want)
		}
	}
}

func FuzzRecords(f *testing.F) {
	var mark [markBytes]byte
	f.Add(record{written, "a", []byte("b")}.appendTo(nil, mark))
	f.Fuzz(func(t *testing.T, log []byte) {
		records(log, mark, func(r record) {
			if whole := r.appendTo(nil, mark); !bytes.Contains(log, whole) {
				t.Errorf("%q is not in the log", whole)
			}
		})
	})
}

// refusing is a disk that refuses one flush of a log, and lets the test say when.
type refusing struct {
	kernel
	armed        atomic.Bool
	begun, fails chan struct{}
}

func (r *refusing) Sync(f *os.File) error {
	if number(filepath.Base(f.Name())) > 0 && r.armed.CompareAndSwap(true, false) {
		close(r.begun)
		<-r.fails
		return unix.EIO
	}
	return r.kernel.Sync(f)
}

// Linux tells of a page that could not be written once, and holds it for clean. A record that came to the log before that was told may lie in that page,
// and the flush that it waits for would say that all is well.
func TestJournalFlushFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := &refusing{begun: make(chan struct{}), fails: make(chan struct{})}
		tree := openWith(t, t.TempDir(), sys, func(*os.File) error { return nil })
		put(t, tree, "a", "x")
		sys.armed.Store(true)
		errs := make(chan error)
		write := func(name string) {
			_, err := tree.Put(t.Context(), name, strings.NewReader("x"))
			errs <- err
		}
		go write("b")
		<-sys.begun
		go write("c")
		synctest.Wait() // its record is in the log
		close(sys.fails)
		for range 2 {
			if err := <-errs; !errors.Is(err, unix.EIO) {
				t.Errorf("a write whose record may be lost ended in %v, want %v", err, unix.EIO)
			}
		}
		put(t, tree, "c", "x") // in the next log
	})
}
