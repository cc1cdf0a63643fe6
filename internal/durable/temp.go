package durable

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// TempDir is the folder at the top of a tree in which files are written before they have a name. That it exists need
// not survive a crash, and neither does what lies in it.
const TempDir = "+tmp"

// temp makes temporary files. Each open tree has a random id that begins the names of its files, and a file "id.lock"
// with an flock(2) on it, which the kernel takes away when the process ends, however it ends. So another process knows
// whose files are left over, and no clock is asked.
type temp struct {
	root  *os.Root
	dir   *os.File // the same folder
	id    string
	lock  *os.File
	count atomic.Uint64
}

func openTemp(tree *os.Root) (*temp, error) {
	if err := tree.Mkdir(TempDir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	root, err := tree.OpenRoot(TempDir)
	if err != nil {
		return nil, err
	}
	t := &temp{root: root}
	if err := t.open(); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *temp) open() (err error) {
	if t.dir, err = t.root.Open("."); err != nil {
		return err
	}
	if err := t.sweep(); err != nil {
		return err
	}
	for {
		t.id = rand.Text()
		if t.lock, err = t.root.OpenFile(t.id+".lock", os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode); err != nil {
			return err
		}
		if err := flock(t.lock, unix.LOCK_EX); err != nil {
			return err
		}
		// Another process may have swept the lock before it was locked.
		_, err := t.root.Lstat(t.id + ".lock")
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		t.lock.Close()
	}
}

// create returns a new file and its name.
func (t *temp) create() (*os.File, string, error) {
	name := t.id + "." + strconv.FormatUint(t.count.Add(1), 10)
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	return f, name, err
}

// sweep removes the files whose owner is no more. What it cannot remove costs space and nothing else, so that
// is no error.
func (t *temp) sweep() error {
	dir, err := t.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	// The locks of the dead are held until the end: who made one and has not locked it yet waits, and then sees
	// that it is gone.
	dead := map[string]*os.File{}
	defer func() {
		for _, lock := range dead {
			lock.Close()
		}
	}()
	alive := map[string]bool{}
	for {
		entries, err := dir.ReadDir(1024)
		for _, entry := range entries {
			id, _, _ := strings.Cut(entry.Name(), ".")
			if _, known := dead[id]; !known && !alive[id] {
				if lock, ok := t.inherit(id); ok {
					dead[id] = lock
				} else {
					alive[id] = true
				}
			}
			if !alive[id] {
				t.root.Remove(entry.Name())
			}
		}
		if len(entries) == 0 || err != nil {
			return nil
		}
	}
}

// inherit reports whether the owner of id is dead. Where it left a lock, that is returned, locked.
func (t *temp) inherit(id string) (*os.File, bool) {
	lock, err := t.root.OpenFile(id+".lock", os.O_RDWR, 0)
	if err != nil {
		// A lock is there before the first file of its owner, and is removed after the last.
		return nil, errors.Is(err, fs.ErrNotExist)
	}
	if err := flock(lock, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, false
	}
	return lock, true
}

func (t *temp) close() error {
	var err error
	if t.lock != nil {
		err = errors.Join(t.root.Remove(t.id+".lock"), t.lock.Close())
	}
	if t.dir != nil {
		err = errors.Join(err, t.dir.Close())
	}
	return errors.Join(err, t.root.Close())
}

func flock(f *os.File, how int) error {
	return uninterrupted("flock", func() error { return unix.Flock(int(f.Fd()), how) })
}
