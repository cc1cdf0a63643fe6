package bulk

import (
	"context"
	"fmt"
	"io"

	"github.com/ocelli/ocelli/internal/blob"
)

// Stored yields the blobs of a store whose keys begin with prefix. Results call each by name and its key.
func (f *Finder) Stored(ctx context.Context, store blob.Store, prefix, name string) Items {
	return func(yield func(Item, error) bool) {
		n := 0
		for info, err := range store.List(ctx, prefix) {
			if err != nil {
				yield(Item{}, fmt.Errorf("listing %s%s: %w", name, prefix, err))
				return
			}
			n++
			open := func(ctx context.Context) (io.ReadCloser, error) { return store.Open(ctx, info.Key) }
			if !yield(Item{Name: name + info.Key, Open: open}, nil) {
				return
			}
		}
		if n == 0 && ctx.Err() == nil {
			yield(Item{}, fmt.Errorf("there is nothing at %s%s", name, prefix))
		}
	}
}
