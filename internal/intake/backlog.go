package intake

import (
	"context"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/queue"
)

// backlogFresh is how long a count of the queue is believed, with what was sent since added to it: to count costs a queue as much as to
// take an image, and many requests come at once.
const backlogFresh = 200 * time.Millisecond

// backlog is how many images wait, as of a moment ago.
type backlog struct {
	mu      sync.Mutex
	counted time.Time
	images  int64
}

// size returns it, counted anew where it is old. It can be too high by what was done in the meantime.
func (b *backlog) size(ctx context.Context, q queue.Queue) (int64, error) {
	b.mu.Lock()
	n, fresh := b.images, time.Since(b.counted) < backlogFresh
	b.mu.Unlock()
	if fresh {
		return n, nil
	}
	stats, err := q.Stats(ctx)
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counted, b.images = time.Now(), stats.Backlog()
	return b.images, nil
}

// sent adds what was queued just now.
func (b *backlog) sent(images int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.images += int64(images)
}

// modestShare is the part of the backlog that an owner may have waiting and still count as modest, and also what is kept for modest ones
// beyond the limit: a tenth.
const modestShare = 10

// reserve is how many images beyond the limit of the backlog an owner may have waiting of whom so many wait in each group: an owner of whom
// little waits is let in while those who fill the queue are refused.
func (in *Intake) reserve(owner string, waiting [ocelli.Turns]int64) int64 {
	all := int64(0)
	for _, n := range waiting {
		all += n
	}
	share := in.Limits.Backlog / modestShare
	if owner == "" || all > share {
		return 0
	}
	return share
}
