package intake

import (
	"context"
	"iter"

	"github.com/ocelli/ocelli/internal/access"
)

// counting passes uploads on and counts each against what the sender may send in a day. n is how many were counted.
func counting(ctx context.Context, uploads iter.Seq2[Upload, error], n *int64) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		for up, err := range uploads {
			if err == nil {
				if err = access.Spend(ctx, 1); err == nil {
					*n++
				}
			}
			if !yield(up, err) || err != nil {
				return
			}
		}
	}
}
