package work_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
)

// forgetful loses the first ack, as a server does that is killed.
type forgetful struct {
	queue.Queue
	lost atomic.Bool
}

func (q *forgetful) Ack(ctx context.Context, ds ...queue.Delivery) error {
	if q.lost.CompareAndSwap(false, true) {
		return nil
	}
	return q.Queue.Ack(ctx, ds...)
}

func TestAnImageWhoseAckWasLostIsNotWorkedOnTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &forgetful{Queue: queue.NewMem(lease, 1000)}
		s := newService(new(blob.Mem), q)
		calls := make(chan struct{}, 10)
		s.decoder = slow{took: time.Second, calls: calls}
		ctx := s.start(t, 2)
		s.submit(t, "r.png", red)
		time.Sleep(3 * lease)
		stats, err := q.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(calls); n != 1 || stats.Backlog() != 0 {
			t.Errorf("the image was decoded %d times, and %d messages are left", n, stats.Backlog())
		}
	})
}
