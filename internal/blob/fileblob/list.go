package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli/internal/blob"
)

// maxNames bounds how many names of one folder are held at a time while blobs are listed: about 5 MB of them. A folder
// with more is read once for each maxNames of its names.
const maxNames = 1 << 16

// List implements [blob.Store].
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		err := blob.CheckPrefix(prefix)
		if err == nil {
			l := &lister{ctx: ctx, yield: yield, maxNames: maxNames}
			dir, begin := path.Split(prefix)
			err = l.folder(s.tree.Root(), path.Clean(dir), dir, begin)
		}
		if err != nil && !errors.Is(err, errStop) {
			yield(blob.Info{}, fmt.Errorf("list %s: %w", prefix, err))
		}
	}
}

// errStop ends a listing that its reader left.
var errStop = errors.New("the reader stopped")

// lister walks through folders in the order of the keys.
type lister struct {
	ctx      context.Context
	yield    func(blob.Info, error) bool
	maxNames int
}

// folder yields the blobs in the folder name of parent, and in folders below it, whose key begins with key and then begin.
func (l *lister) folder(parent *os.Root, name, key, begin string) error {
	info, err := parent.Stat(name)
	if isAbsent(err) || err == nil && !info.IsDir() {
		return nil // nothing was ever put there, or all of it was deleted
	}
	if err != nil {
		return err
	}
	root, err := parent.OpenRoot(name)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()

	for after, more := "", true; more; {
		var names []string
		if names, more, err = l.names(dir, begin, after); err != nil {
			return err
		}
		for _, name := range names {
			if err := l.entry(root, key, name); err != nil {
				return err
			}
			after = name
		}
	}
	return nil
}

// entry yields one blob, or what lies in the folder when name ends in "/".
func (l *lister) entry(root *os.Root, key, name string) error {
	if sub, ok := strings.CutSuffix(name, "/"); ok {
		return l.folder(root, sub, key+name, "")
	}
	info, err := root.Lstat(name)
	switch {
	case isAbsent(err): // deleted since its folder was read
		return nil
	case err != nil:
		return err
	case !l.yield(blob.Info{Key: key + name, Size: info.Size(), Modified: info.ModTime()}, nil):
		return errStop
	}
	return nil
}

// names returns, in order, the names in dir that begin with begin and come after the name after, and whether there are
// more than those. Folders end in "/", which puts them where their keys belong: "a-b" is before "a/b".
func (l *lister) names(dir *os.File, begin, after string) (names []string, more bool, err error) {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil, false, err
	}
	for {
		if err := l.ctx.Err(); err != nil {
			return nil, false, err
		}
		entries, err := dir.ReadDir(1024)
		for _, entry := range entries {
			name := entry.Name()
			if !strings.HasPrefix(name, begin) || blob.CheckKey(name) != nil {
				continue
			}
			switch {
			case entry.IsDir():
				name += "/"
			case !entry.Type().IsRegular():
				continue
			}
			if name > after {
				names = append(names, name)
			}
		}
		if len(names) > 2*l.maxNames || err == io.EOF {
			slices.Sort(names)
			if len(names) > l.maxNames {
				names, more = slices.Clip(names[:l.maxNames]), true
			}
		}
		if err == io.EOF {
			return names, more, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// isAbsent reports whether err says that there is no such file or folder.
func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}
