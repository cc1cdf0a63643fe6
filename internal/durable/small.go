package durable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
)

// smallLimit is the most bytes of a file that is written by way of the journal. A larger one costs more to write twice
// than to flush by itself.
const smallLimit = 256 << 10

// smallBuffers hold what may be a small file until its end is seen.
var smallBuffers = sync.Pool{New: func() any { return new([smallLimit + 1]byte) }}

// bytesOf returns what is left in r, without a copy.
func bytesOf(r *bytes.Reader) []byte {
	var all taker
	_, _ = r.WriteTo(&all) // a taker takes everything
	return all
}

// taker keeps what is written to it, and copies nothing where that comes in one piece, as it does from a [bytes.Reader].
type taker []byte

func (t *taker) Write(p []byte) (int, error) {
	if *t == nil {
		*t = p[:len(p):len(p)]
	} else {
		*t = append(*t, p...)
	}
	return len(p), nil
}

func (t *Tree) putSmall(ctx context.Context, name string, body []byte) (int64, error) {
	err := t.journaled([]record{{written, name, body}}, []string{name}, func(*log) error {
		return t.place(ctx, name, body)
	})
	if err != nil {
		return 0, err
	}
	return int64(len(body)), nil
}

func (t *Tree) createSmall(ctx context.Context, name string, body []byte) (created bool, err error) {
	unlock, err := t.names.lock(name)
	if err != nil {
		return false, err
	}
	defer unlock()
	// Whoever made it did so under the same lock, when it was durable already.
	if there, err := t.isThere(name); there || err != nil {
		return false, err
	}
	err = t.record([]record{{written, name, body}}, func(*log) error { return t.place(ctx, name, body) })
	return err == nil, err
}

// isThere reports whether there is a file of that name. That it is something else is an error. The folder is looked up anew: one
// that stayed open may have been removed and made again since.
func (t *Tree) isThere(name string) (bool, error) {
	info, err := t.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a file: %w", path.Base(name), fs.ErrExist)
	}
	return true, nil
}

// journaled runs do while nobody else changes the names, and after the records, where there are any, have become durable.
func (t *Tree) journaled(records []record, names []string, do func(*log) error) error {
	unlock, err := t.names.lock(names...)
	if err != nil {
		return err
	}
	defer unlock()
	return t.record(records, do)
}

// record makes the records durable and then lets do carry them out. The names are locked.
func (t *Tree) record(records []record, do func(*log) error) error {
	l, err := t.journal.enter()
	if err != nil {
		return err
	}
	defer t.journal.leave(l)
	if len(records) > 0 {
		if err := t.journal.write(l, records...); err != nil {
			return err
		}
	}
	return do(l)
}

// place writes a file without making it durable: readers see the old one or the new one.
func (t *Tree) place(ctx context.Context, name string, body []byte) error {
	temp, err := t.write(func(f *os.File) error {
		_, err := f.Write(body)
		return err
	})
	if err != nil {
		return err
	}
	err = t.enter(ctx, name, quickly, func(in *os.File, base string) error {
		return t.sys.Rename(t.temp.dir, temp, in, base)
	})
	if err != nil {
		t.sys.Unlink(t.temp.dir, temp)
	}
	return err
}
