package bulk

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/ocelli/ocelli/internal/blob"
)

// Bucket holds images under keys that others chose.
type Bucket interface {
	// ListAny yields what is stored under keys that begin with prefix.
	ListAny(ctx context.Context, prefix string) iter.Seq2[blob.Info, error]
	// OpenAny returns the bytes under a key; the caller closes them.
	OpenAny(ctx context.Context, key string) (io.ReadCloser, error)
}

// Stored yields the images of a bucket: the one that has the key path, and those in the folder path and below it; an empty path is the whole
// bucket. Other files are passed over when they are read. Results call each by name and its key.
func (f *Finder) Stored(ctx context.Context, bucket Bucket, path, name string) Items {
	return func(yield func(Item, error) bool) {
		n := 0
		for info, err := range bucket.ListAny(ctx, path) {
			if err != nil {
				yield(Item{}, fmt.Errorf("listing %s%s: %w", name, path, err))
				return
			}
			below := path == "" || strings.HasSuffix(path, "/") || strings.HasPrefix(info.Key, path+"/")
			if info.Key != path && !below || strings.HasSuffix(info.Key, "/") {
				continue // it only begins alike, or is what some programs put for a folder
			}
			n++
			f.Counts.Found.Add(1)
			item := Item{Name: name + info.Key, Size: info.Size, Maybe: info.Key != path}
			item.Open = func(ctx context.Context) (io.ReadCloser, error) { return bucket.OpenAny(ctx, info.Key) }
			if !yield(item, nil) {
				return
			}
		}
		if n == 0 && ctx.Err() == nil {
			yield(Item{}, fmt.Errorf("there is nothing at %s%s", name, path))
		}
	}
}
