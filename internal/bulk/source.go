package bulk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// Join yields what each of several sources does, one after another.
func Join(sources ...Items) Items {
	return func(yield func(Item, error) bool) {
		for _, source := range sources {
			for item, err := range source {
				if !yield(item, err) {
					return
				}
			}
		}
	}
}

// IsURL reports whether a name is the address of something on the web.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// IsBucket reports whether a name is the address of images in a bucket.
func IsBucket(name string) bool { return strings.HasPrefix(name, "s3://") }

// Named yields what a name stands for: a file, whatever it is; the images in a folder; those that match a pattern; a URL; the images
// in a bucket.
func (f *Finder) Named(ctx context.Context, name string) Items {
	if IsBucket(name) && f.Buckets != nil {
		return f.Buckets(ctx, name)
	}
	if IsURL(name) {
		return One(f.Fetched(name))
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return f.Folder(ctx, name)
	case err == nil:
		return One(Local(name))
	case errors.Is(err, fs.ErrNotExist) && IsPattern(name):
		return f.pattern(ctx, name)
	case errors.Is(err, fs.ErrNotExist):
		return none(fmt.Errorf("there is no file or folder %s", name))
	}
	return none(err)
}

func (f *Finder) pattern(ctx context.Context, pattern string) Items {
	found := f.matching(ctx, splitPattern(pattern), func(path string) bool { return matches(pattern, path) })
	return func(yield func(Item, error) bool) {
		n := 0
		for item, err := range found {
			if n++; !yield(item, err) {
				return
			}
		}
		if n == 0 && ctx.Err() == nil {
			yield(Item{}, fmt.Errorf("no image matches %s", pattern))
		}
	}
}

// One yields one item.
func One(item Item) Items {
	return func(yield func(Item, error) bool) { yield(item, nil) }
}

func none(err error) Items {
	return func(yield func(Item, error) bool) { yield(Item{}, err) }
}

// maxLine bounds one name of a list.
const maxLine = 64 << 10

// List yields what the names of a list stand for: one on each line, or, where the first of them ends in a zero byte as in
// the output of `find -print0`, each up to the next one.
func (f *Finder) List(ctx context.Context, list io.Reader) Items {
	return func(yield func(Item, error) bool) {
		names, broken := make(chan string), make(chan error, 1)
		// A read of a terminal or a pipe cannot be broken off, so it is left to itself when ctx ends.
		go func() {
			defer close(names)
			lines := bufio.NewScanner(list)
			lines.Buffer(nil, maxLine)
			lines.Split(names0())
			for lines.Scan() {
				select {
				case names <- lines.Text():
				case <-ctx.Done():
					return
				}
			}
			broken <- lines.Err()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case name, more := <-names:
				if !more {
					if err := <-broken; err != nil {
						yield(Item{}, fmt.Errorf("the list of images broke off: %w", err))
					}
					return
				}
				if name == "" {
					continue
				}
				for item, err := range f.Named(ctx, name) {
					if !yield(item, err) {
						return
					}
				}
			}
		}
	}
}

// names0 splits at zero bytes where the first name ends in one, and else at the ends of lines.
func names0() bufio.SplitFunc {
	known, separator := false, byte('\n')
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if !known && bytes.ContainsAny(data, "\x00\n") {
			known = true
			if bytes.IndexByte(data, 0) >= 0 {
				separator = 0
			}
		}
		if i := bytes.IndexByte(data, separator); i >= 0 {
			name := data[:i]
			if separator == '\n' {
				name = bytes.TrimSuffix(name, []byte("\r"))
			}
			return i + 1, name, nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

// Input returns one image that is read from r, once.
func (f *Finder) Input(name string, r io.Reader) Item {
	read := sync.OnceValues(func() ([]byte, error) { return ReadAll(r) })
	return Item{Name: name, Open: func(context.Context) (io.ReadCloser, error) {
		data, err := read()
		return io.NopCloser(bytes.NewReader(data)), err
	}}
}

// Count counts what names stand for, as far as that can be told from names alone, in Found; then it sets Counted.
func (f *Finder) Count(ctx context.Context, names []string) {
	for _, name := range names {
		info, err := os.Stat(name)
		matching := func(string) bool { return true }
		switch {
		case IsBucket(name):
			return // it is counted while it is listed, so the end is not known before it
		case err == nil && info.IsDir():
		case err != nil && IsPattern(name) && !IsURL(name):
			pattern := name
			matching = func(path string) bool { return matches(pattern, path) }
			name = splitPattern(pattern)
		default:
			f.Counts.Found.Add(1)
			continue
		}
		f.walk(ctx, name, func(path string, _ fs.DirEntry, err error) bool {
			if err == nil && matching(path) {
				f.Counts.Found.Add(1)
			}
			return true
		})
	}
	if ctx.Err() == nil {
		f.Counts.Counted.Store(true)
	}
}
