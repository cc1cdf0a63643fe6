package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxFolders bounds how many folders are kept open while nobody writes into them.
const maxFolders = 256

// folder is an open folder. As long as it is open, its inode is not given to another; if somebody removes it, every attempt
// to make a name in it fails with ENOENT.
type folder struct {
	*syncer
	path  string
	file  *os.File
	kept  atomic.Bool // its own name is durable, and so are those of the folders above it
	users int         // guarded by folders.mu
}

// folders keeps those open that were written into of late, so that the folders above them need not be flushed
// again for every file.
type folders struct {
	sys system
	top *folder

	mu   sync.Mutex
	open map[string]*folder // by path, without top
}

func newFolders(sys system, top *os.File) *folders {
	all := &folders{sys: sys, open: map[string]*folder{}}
	all.top = all.newFolder(".", top)
	all.top.kept.Store(true)
	return all
}

func (all *folders) newFolder(path string, file *os.File) *folder {
	return &folder{path: path, file: file, syncer: newSyncer(func() error { return all.sys.Sync(file) })}
}

// acquire returns the folder, which it makes if need be, if not durably; the caller releases it. ENOENT means that a folder was removed
// meanwhile, and that another try may do.
func (all *folders) acquire(dir string) (*folder, error) {
	if f := all.cached(dir); f != nil {
		return f, nil
	}
	parent, err := all.acquire(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	defer all.release(parent)
	file, err := all.enter(parent, path.Base(dir))
	if err != nil {
		if isGone(err) {
			all.forget(parent)
		}
		return nil, fmt.Errorf("folder %s: %w", dir, err)
	}
	return all.keep(all.newFolder(dir, file)), nil
}

// enter opens the folder name in parent, and makes it where it is missing.
func (all *folders) enter(parent *folder, name string) (*os.File, error) {
	if err := all.sys.Mkdir(parent.file, name); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return openFolder(parent.file, name)
}

// keepNames makes the name of f durable, and those of the folders above it. Also names that were there already are flushed,
// since others may have made them just now.
func (all *folders) keepNames(f *folder) error {
	if f.kept.Load() {
		return nil
	}
	parent, err := all.acquire(path.Dir(f.path))
	if err != nil {
		return err
	}
	defer all.release(parent)
	if err := all.keepNames(parent); err != nil {
		return err
	}
	if err := parent.sync(); err != nil {
		return err
	}
	f.kept.Store(true)
	return nil
}

func openFolder(in *os.File, name string) (*os.File, error) {
	var fd int
	err := uninterrupted("openat", func() (err error) {
		fd, err = unix.Openat(int(in.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// isGone reports whether err says that the folder in which something was to be done, or that thing, is no more.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// cached returns the folder when it is open already.
func (all *folders) cached(dir string) *folder {
	if dir == "." {
		return all.top
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	f := all.open[dir]
	if f != nil {
		f.users++
	}
	return f
}

// keep adds f, which its caller uses. Where another caller was faster, it closes f and returns the other's.
func (all *folders) keep(f *folder) *folder {
	all.mu.Lock()
	defer all.mu.Unlock()
	if other := all.open[f.path]; other != nil {
		f.file.Close()
		f = other
	}
	f.users++
	all.open[f.path] = f
	for path, idle := range all.open {
		if len(all.open) <= maxFolders {
			break
		}
		if idle.users == 0 {
			delete(all.open, path)
			idle.file.Close()
		}
	}
	return f
}

// forget makes that f is opened anew by who acquires it next.
func (all *folders) forget(f *folder) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.open[f.path] == f {
		delete(all.open, f.path)
	}
}

// release ends the use of f by one caller.
func (all *folders) release(f *folder) {
	if f == all.top {
		return
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if f.users--; f.users == 0 && all.open[f.path] != f {
		f.file.Close()
	}
}

func (all *folders) close() error {
	all.mu.Lock()
	defer all.mu.Unlock()
	err := all.top.file.Close()
	for _, f := range all.open {
		err = errors.Join(err, f.file.Close())
	}
	return err
}
