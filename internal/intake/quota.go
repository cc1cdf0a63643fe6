package intake

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/ocelli/ocelli/internal/access"
)

// quota is what one job takes of the images that its sender may send in a day.
type quota struct {
	began   time.Time
	counted int64        // uploads, as they come
	queued  atomic.Int64 // of them, images that workers may have taken in hand: they are paid for, whatever becomes of the job
}

// counting passes uploads on and counts each against what the sender may send.
func (q *quota) counting(ctx context.Context, uploads iter.Seq2[Upload, error]) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		for up, err := range uploads {
			if err == nil {
				if err = access.Spend(ctx, 1); err == nil {
					q.counted++
				}
			}
			if !yield(up, err) || err != nil {
				return
			}
		}
	}
}

// giveBack returns what a job that is not accepted has not used.
func (q *quota) giveBack(ctx context.Context) {
	access.Refund(ctx, q.counted-q.queued.Load(), q.began)
}
