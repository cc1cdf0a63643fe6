package bulk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ocelli/ocelli/internal/decode"
)

// Finder finds images among files.
type Finder struct {
	Counts *Counts
	// Without is a folder that is passed over wherever it is met, "" for none: where this run writes.
	Without string
	// Buckets yields the images at an address like s3://BUCKET/PATH; nil where there are none.
	Buckets func(ctx context.Context, name string) Items
}

// namesAtOnce bounds how many names of one folder are in memory. They are walked through in the order of the alphabet, and in a folder
// with more of them each such number is.
const namesAtOnce = 4096

// walk calls each with every file in dir and below it, until that returns false. What is asked of each file is left to it: it gets links too.
// A folder that cannot be read is told to each with its error. Links to folders are not followed, except dir itself.
func (f *Finder) walk(ctx context.Context, dir string, each func(path string, entry fs.DirEntry, err error) bool) bool {
	open, err := os.Open(dir)
	if err != nil {
		return each(dir, nil, err)
	}
	defer open.Close()
	for ctx.Err() == nil {
		entries, err := open.ReadDir(namesAtOnce)
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if entry.IsDir() && f.Without != "" && sameFolder(path, f.Without) {
				continue
			}
			if entry.IsDir() && !f.walk(ctx, path, each) || !entry.IsDir() && !each(path, entry, nil) {
				return false
			}
		}
		if err == io.EOF {
			return true
		}
		if err != nil {
			return each(dir, nil, err)
		}
	}
	return false
}

func sameFolder(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// Folder yields the images in dir and below it; other files are passed over. Where there is none, that is an error.
func (f *Finder) Folder(ctx context.Context, dir string) Items { return f.matching(ctx, dir, nil) }

// matching yields the images below dir whose path matches, nil for all.
func (f *Finder) matching(ctx context.Context, dir string, matches func(path string) bool) Items {
	return func(yield func(Item, error) bool) {
		n := 0
		whole := f.walk(ctx, dir, func(path string, entry fs.DirEntry, err error) bool {
			if errors.Is(err, fs.ErrNotExist) {
				return yield(Item{}, fmt.Errorf("there is no folder %s", path))
			}
			if err != nil {
				return yield(Item{}, fmt.Errorf("a folder cannot be read: %w", err))
			}
			if matches != nil && !matches(path) {
				return true
			}
			if !isRegular(path, entry) || !looksLikeImage(path) {
				f.Counts.Found.Add(-1) // it was counted
				return true
			}
			n++
			return yield(Local(path), nil)
		})
		if whole && n == 0 && matches == nil {
			yield(Item{}, fmt.Errorf("there is no image in %s", dir))
		}
	}
}

// Local returns the item of a file, whatever it is.
func Local(path string) Item {
	return Item{Name: path, Path: path, Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) }}
}

// isRegular reports whether the entry is a file, or a link to one.
func isRegular(path string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// endings are those of names by which people take a file for an image, whatever it holds.
var endings = []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"}

// looksLikeImage reports whether a file begins like an image or is called like one: then it was meant, and what is wrong with it is told.
// One that cannot be read fails in its turn, too, with the reason. What a killed run has left of a copy was not meant.
func looksLikeImage(path string) bool {
	name := filepath.Base(path)
	if isTemp(name) {
		return false
	}
	if name[0] != '.' && slices.Contains(endings, strings.ToLower(filepath.Ext(name))) {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	return decode.Sniff(head[:n]) != ""
}
