package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Remove removes the files, and the folders that become empty by it, and makes that durable. A name that is not there,
// or is a folder, is no error. A Put into a folder that is removed makes the folder anew.
func (t *Tree) Remove(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := check(name); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(names, removeAtOnce) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.removePart(part); err != nil {
			return err
		}
	}
	if t.journal != nil && len(names) > 0 {
		t.journal.purgeSoon()
	}
	return nil
}

// removeAtOnce bounds for how many names a removal holds the locks.
const removeAtOnce = 256

func (t *Tree) removePart(names []string) error {
	inFolder := map[string][]string{}
	records := make([]record, len(names))
	for i, name := range names {
		inFolder[path.Dir(name)] = append(inFolder[path.Dir(name)], path.Base(name))
		records[i] = record{kind: removed, name: name}
	}
	unlink := func(how manner) error {
		for dir, bases := range inFolder {
			if err := t.removeIn(dir, bases, how); err != nil {
				return err
			}
		}
		return nil
	}
	if t.journal == nil {
		return unlink(durably)
	}
	err := t.journaled(records, names, func(l *log) error {
		t.journal.markRemoval(l)
		return unlink(quickly)
	})
	if full := errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT); full && t.removeUnrecorded(names, unlink) == nil {
		return nil
	}
	return err
}

// removeUnrecorded removes files where the disk has no room left to enter that in the journal: it removes them and then the whole journal, so that no
// record is left that would bring them back. Where that breaks off in between, they may come back with the loss of power, as after any removal that nobody was
// told has been done; what wrote them anew meanwhile has a record of its own.
func (t *Tree) removeUnrecorded(names []string, unlink func(manner) error) error {
	unlock, err := t.names.lock(names...)
	if err != nil {
		return err
	}
	defer unlock()
	if err := unlink(quickly); err != nil {
		return err
	}
	return t.journal.dropAll()
}

// removeIn removes files of one folder. It opens the folder anew, as it is now: in one that stayed open since before its
// removal, nothing would be found.
func (t *Tree) removeIn(dir string, bases []string, how manner) error {
	f, err := t.root.Open(dir)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for _, base := range bases {
		if err := t.sys.Unlink(f, base); err != nil && !isAbsent(err) {
			return err
		}
	}
	if how == durably {
		if err := t.sys.Sync(f); err != nil {
			return err
		}
	}
	return t.prune(dir)
}

// isAbsent reports whether err says that there is no such file.
func isAbsent(err error) bool {
	return slices.ContainsFunc([]error{fs.ErrNotExist, unix.ENOTDIR, unix.EISDIR},
		func(absent error) bool { return errors.Is(err, absent) })
}

// prune removes dir and the folders above it as far as they are empty, which the kernel decides together with the
// removal: no file can be lost. A crash may bring an empty folder back.
func (t *Tree) prune(dir string) error {
	for ; dir != "."; dir = path.Dir(dir) {
		parent, err := t.root.Open(path.Dir(dir))
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return err
		}
		err = t.sys.Rmdir(parent, path.Base(dir))
		parent.Close()
		switch {
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, os.ErrExist): // POSIX allows either
			return nil
		case err != nil && !isAbsent(err):
			return err
		}
	}
	return nil
}
