package bulk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

const (
	// settled is how long nothing must have happened to a new file.
	settled = 300 * time.Millisecond
	// mostPending bounds how many files are remembered that something has happened to.
	mostPending = 1 << 20
)

// watch looks for new files in a folder and below it.
type watch struct {
	finder  *Finder
	dir     string
	gone    bool // dir is not there, and is looked for
	events  *fsnotify.Watcher
	pending map[string]time.Time // when something last happened to a file
	errs    []error
	began   time.Time
}

// Watch yields the images that come into dir and below it from now on: each when it has been written whole, be it in place
// or under another name and then renamed. One that is changed later is yielded again, and so is what is in a folder that gets another name.
// It begins to look before it returns.
func (f *Finder) Watch(dir string) (Source, error) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("%s cannot be watched: %w", dir, err)
	}
	w := &watch{finder: f, dir: filepath.Clean(dir), events: events, pending: map[string]time.Time{}, began: time.Now()}
	if err := w.add(w.dir, func(os.DirEntry) bool { return false }); err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot be watched: %w", dir, err), events.Close())
	}
	return func(ctx context.Context) Items {
		return func(yield func(Item, error) bool) { w.run(ctx, yield) }
	}, nil
}

func (w *watch) run(ctx context.Context, yield func(Item, error) bool) {
	defer w.events.Close()
	tick := time.NewTicker(settled / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-w.events.Events:
			if !open {
				return
			}
			w.happened(event)
		case err := <-w.events.Errors:
			w.trouble(err)
		case <-tick.C:
			w.seek()
			if !w.yield(yield) {
				return
			}
		}
	}
}

// add watches a folder and those below it, and says of each file in them whether it is new: of a folder that has just come all are.
func (w *watch) add(dir string, isNew func(os.DirEntry) bool) error {
	if w.finder.Without != "" && sameFolder(dir, w.finder.Without) {
		return nil
	}
	if err := w.events.Add(dir); err != nil {
		if errors.Is(err, unix.ENOSPC) {
			err = fmt.Errorf("%w: raise the limit of folders by `sysctl fs.inotify.max_user_watches`", err)
		}
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if entry.IsDir() {
			below := w.add(path, isNew)
			if errors.Is(below, fs.ErrPermission) { // like lost+found: the others are watched all the same
				w.errs = append(w.errs, fmt.Errorf("%s cannot be watched: %w", path, below))
				below = nil
			}
			err = errors.Join(err, below)
		} else if isNew(entry) {
			w.remember(path)
		}
	}
	return err
}

// every says of each file that it is new.
func every(os.DirEntry) bool { return true }

// forget ends the watches of a folder and of those below it, under the names that they had: the kernel's go with the folders to
// their new names, and fsnotify would go on to tell the old ones.
func (w *watch) forget(dir string) {
	for _, path := range w.events.WatchList() {
		if path == dir || strings.HasPrefix(path, dir+string(filepath.Separator)) {
			_ = w.events.Remove(path) // the kernel may have ended it already
		}
	}
}

// seek watches the folder again when it has come back.
func (w *watch) seek() {
	if !w.gone {
		return
	}
	err := w.add(w.dir, every)
	w.gone = errors.Is(err, fs.ErrNotExist)
	if err != nil && !w.gone {
		w.trouble(err)
	}
}

func (w *watch) happened(event fsnotify.Event) {
	if event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename) {
		delete(w.pending, event.Name)
		switch {
		case event.Name == w.dir:
			w.gone = true
			w.forget(w.dir)
			w.errs = append(w.errs, fmt.Errorf("%s is gone, and will be watched again when it is back", w.dir))
		case !errors.Is(w.events.Remove(event.Name), fsnotify.ErrNonExistentWatch):
			w.forget(event.Name)
		}
		return
	}
	if !event.Has(fsnotify.Create) && !event.Has(fsnotify.Write) {
		return
	}
	info, err := os.Lstat(event.Name)
	switch {
	case err != nil: // it is gone already
	case info.IsDir():
		if err := w.add(event.Name, every); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.errs = append(w.errs, fmt.Errorf("%s cannot be watched: %w", event.Name, err))
		}
	default:
		w.remember(event.Name)
	}
}

func (w *watch) remember(path string) {
	if len(w.pending) == mostPending {
		w.errs = append(w.errs, fmt.Errorf("%s is passed over: too much happens at once", path))
		return
	}
	w.pending[path] = time.Now()
}

// trouble takes up what was missed because too much happened at once: every file that was changed since the watch began, some for a second time.
func (w *watch) trouble(err error) {
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		w.forget(w.dir) // also the names that folders have had
		err = w.add(w.dir, func(entry os.DirEntry) bool {
			info, err := entry.Info()
			if err != nil {
				return false
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			return ok && time.Unix(stat.Ctim.Unix()).After(w.began)
		})
	}
	if err != nil {
		w.errs = append(w.errs, fmt.Errorf("watching %s: %w", w.dir, err))
	}
}

// yield passes on what is whole by now.
func (w *watch) yield(yield func(Item, error) bool) bool {
	for _, err := range w.errs {
		if !yield(Item{}, err) {
			return false
		}
	}
	w.errs = nil
	for path, at := range w.pending {
		if time.Since(at) < settled {
			continue
		}
		if beingWritten(path) {
			w.pending[path] = time.Now()
			continue
		}
		delete(w.pending, path)
		info, err := os.Stat(path)
		// An empty one is a placeholder: Firefox has one until a download is whole.
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 || !looksLikeImage(path) {
			continue
		}
		w.finder.Counts.Found.Add(1)
		if !yield(Local(path), nil) {
			return false
		}
	}
	return true
}

// beingWritten reports whether some process has a file open for writing: then the kernel refuses a read lease on it (fcntl(2), F_SETLEASE).
// Where leases are not to be had, as for files of others and on network file systems, a file that has rested is taken to be whole.
func beingWritten(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) // closing ends it as well
	}
	return errors.Is(err, unix.EAGAIN)
}
