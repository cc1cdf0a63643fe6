package durable

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a system that keeps a model of what the loss of power would leave: of a file its bytes as they were at its last
// fsync, of a folder its names as they were at its last fsync. File systems keep more than that, and POSIX allows no less.
type disk struct {
	kernel
	mu     sync.Mutex
	now    map[uint64]names // folders, by inode
	kept   map[uint64]names // the same, after the loss of power
	synced map[uint64]bool  // files, by inode, whose bytes were flushed
	early  []string         // names that were given to files before that
}

type names map[string]uint64 // to inodes

func newDisk() *disk {
	return &disk{now: map[uint64]names{}, kept: map[uint64]names{}, synced: map[uint64]bool{}}
}

func inode(f *os.File) uint64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		panic(err)
	}
	return stat.Ino
}

func statAt(in *os.File, name string) unix.Stat_t {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(in.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return unix.Stat_t{} // no inode has the number 0
	}
	return stat
}

func (d *disk) set(in *os.File, name string, ino uint64) {
	if d.now[inode(in)] == nil {
		d.now[inode(in)] = names{}
	}
	d.now[inode(in)][name] = ino
}

func (d *disk) Mkdir(in *os.File, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.kernel.Mkdir(in, name)
	if err == nil {
		ino := statAt(in, name).Ino
		delete(d.now, ino)
		delete(d.kept, ino)
		d.set(in, name, ino)
	}
	return err
}

func (d *disk) Rename(from *os.File, name string, to *os.File, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ino, replaced := statAt(from, name).Ino, statAt(to, newName).Ino
	err := d.kernel.Rename(from, name, to, newName)
	if err == nil {
		d.name(to, newName, ino)
		delete(d.synced, replaced)
	}
	return err
}

func (d *disk) Link(from *os.File, name string, to *os.File, newName string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.kernel.Link(from, name, to, newName)
	if err == nil {
		d.name(to, newName, statAt(from, name).Ino)
	}
	return err
}

func (d *disk) name(in *os.File, name string, ino uint64) {
	d.set(in, name, ino)
	if !d.synced[ino] {
		d.early = append(d.early, name)
	}
}

func (d *disk) Unlink(in *os.File, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	stat := statAt(in, name)
	err := d.kernel.Unlink(in, name)
	if err == nil {
		delete(d.now[inode(in)], name)
		if stat.Nlink == 1 {
			delete(d.synced, stat.Ino)
		}
	}
	return err
}

func (d *disk) Rmdir(in *os.File, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.kernel.Rmdir(in, name)
	if err == nil {
		delete(d.now[inode(in)], name)
	}
	return err
}

func (d *disk) Sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		d.kept[inode(f)] = maps.Clone(d.now[inode(f)])
	} else {
		d.synced[inode(f)] = true
	}
	return nil
}

// survives reports whether the file would be there, whole, after the loss of power.
func (d *disk) survives(t *Tree, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := inode(t.folders.top.file)
	for part := range strings.SplitSeq(name, "/") {
		at = d.kept[at][part]
	}
	return d.synced[at]
}

// TestPowerLoss writes and removes files from many goroutines through two trees, as two processes would, into folders
// that come and go. Whenever a call returns, what it did must be on the disk.
func TestPowerLoss(t *testing.T) {
	d, dir := newDisk(), t.TempDir()
	trees := []*Tree{openTree(t, dir, d), openTree(t, dir, d)}
	var group sync.WaitGroup
	for worker := range 8 {
		tree := trees[worker%2]
		group.Go(func() {
			for i := range 60 {
				name := fmt.Sprintf("in/%d/%d", i/5, worker)
				if worker < 4 {
					if _, err := tree.Put(t.Context(), name, strings.NewReader("x")); err != nil {
						t.Error(err)
					}
				} else if _, err := tree.Create(t.Context(), name, []byte("x")); err != nil {
					t.Error(err)
				}
				if !d.survives(tree, name) {
					t.Errorf("%s was reported as kept and would be lost", name)
				}
				if i%3 == 0 {
					if err := tree.Remove(t.Context(), name); err != nil {
						t.Error(err)
					}
					if d.survives(tree, name) {
						t.Errorf("%s was reported as removed and would come back", name)
					}
				}
			}
		})
	}
	group.Wait()
	if len(d.early) > 0 {
		t.Errorf("%d files got their names before their bytes were flushed: %.5q", len(d.early), d.early)
	}
}

// Who loses a race must not say "it is there" before it is there to stay.
func TestLoserWaitsForTheDisk(t *testing.T) {
	for range 50 {
		d, dir := newDisk(), t.TempDir()
		var group sync.WaitGroup
		for range 2 {
			tree := openTree(t, dir, d)
			group.Go(func() {
				if _, err := tree.Create(t.Context(), "a/b/c", nil); err != nil {
					t.Error(err)
				}
				if !d.survives(tree, "a/b/c") {
					t.Error("a/b/c would be lost")
				}
			})
		}
		group.Wait()
	}
}

// broken is a system in which some calls fail.
type broken struct {
	kernel
	sync         func(isFolder bool) error
	rename, link error
}

func (b *broken) Sync(f *os.File) error {
	info, err := f.Stat()
	if b.sync == nil || err != nil {
		return err
	}
	return b.sync(info.IsDir())
}

func (b *broken) Rename(from *os.File, name string, to *os.File, newName string) error {
	if b.rename != nil {
		return b.rename
	}
	return b.kernel.Rename(from, name, to, newName)
}

func (b *broken) Link(from *os.File, name string, to *os.File, newName string) error {
	if b.link != nil {
		return b.link
	}
	return b.kernel.Link(from, name, to, newName)
}

func TestFailures(t *testing.T) {
	for _, test := range []struct {
		name string
		sys  broken
		want error
	}{
		{"fsync of the file", broken{sync: func(isFolder bool) error {
			if isFolder {
				return nil
			}
			return unix.ENOSPC
		}}, unix.ENOSPC},
		{"fsync of the folder", broken{sync: func(isFolder bool) error {
			if isFolder {
				return unix.EIO
			}
			return nil
		}}, unix.EIO}, // the names of the folders are flushed before the file has its own
		{"link and rename", broken{link: unix.EDQUOT, rename: unix.EDQUOT}, unix.EDQUOT},
		{"a folder that always vanishes", broken{link: unix.ENOENT, rename: unix.ENOENT}, unix.ENOENT},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := openTree(t, t.TempDir(), &test.sys)
			if n, err := tree.Put(t.Context(), "in/a/b", strings.NewReader("x")); n != 0 || !errors.Is(err, test.want) {
				t.Errorf("Put = %d, %v; want %v", n, err, test.want)
			}
			if won, err := tree.Create(t.Context(), "in/a/b", []byte("x")); won || !errors.Is(err, test.want) {
				t.Errorf("Create = %t, %v; want %v", won, err, test.want)
			}
			if _, err := tree.Root().Lstat("in/a/b"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is there: %v", err)
			}
			wantTemp(t, tree, 0)
		})
	}
}
