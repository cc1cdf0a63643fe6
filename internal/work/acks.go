package work

import (
	"context"
	"slices"
	"sync"

	"github.com/ocelli/ocelli/internal/queue"
)

// acks joins acks that come while one is under way: a call of the queue costs about the same for many as for one.
type acks struct {
	mu      sync.Mutex
	waiting []*queue.Delivery
	busy    bool
}

// ack settles a delivery, or leaves that to who is at it already and will not return before. Where it fails the image comes again,
// and the result that stands is found.
func (w *Worker) ack(ctx context.Context, d *queue.Delivery) {
	w.acks.mu.Lock()
	defer w.acks.mu.Unlock()
	w.acks.waiting = append(w.acks.waiting, d)
	if w.acks.busy {
		return
	}
	w.acks.busy = true
	for len(w.acks.waiting) > 0 {
		ds := w.acks.waiting
		w.acks.waiting = nil
		w.acks.mu.Unlock()
		w.ackAll(ctx, ds)
		w.acks.mu.Lock()
	}
	w.acks.busy = false
}

func (w *Worker) ackAll(ctx context.Context, ds []*queue.Delivery) {
	all := make([]queue.Delivery, 0, len(ds))
	for _, d := range ds {
		w.leases.drop(d)
		all = append(all, *d)
	}
	for part := range slices.Chunk(all, queue.MaxReceive) {
		if err := w.Queue.Ack(ctx, part...); err != nil && ctx.Err() == nil {
			w.Log.Warn("messages could not be acknowledged; they come again", "worker", w.Name, "first", part[0].ID, "messages", len(part), "error", err)
		}
	}
}
