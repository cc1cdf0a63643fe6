package work_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
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

// An image that comes again is not done because something lies where its result belongs: half of one, or that of another image.
func TestAnImageWithADamagedResultIsWorkedOnWhenItComesAgain(t *testing.T) {
	for _, text := range []string{"", "null", "{}", `{"image":"01JD0000000000000000000000-0001","job":"01JD0000000000000000000000","labels":[{"name":"cat"}]}`} {
		synctest.Test(t, func(t *testing.T) {
			s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
			id := s.submit(t, "r", red)
			if ds, err := s.queue.Receive(t.Context(), 1, 0); err != nil || len(ds) != 1 { // and the worker is lost
				t.Fatalf("%d messages: %v", len(ds), err)
			}
			if _, err := s.blobs.Put(t.Context(), ocelli.OutputKey(id, ocelli.NewImageID(id, 1)), strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			s.start(t, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 3*lease)
			defer cancel()
			job, err := s.tracker.Wait(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if outcome(job) != "r=red" {
				t.Errorf("beside %q: %s", text, outcome(job))
			}
		})
	}
}

// Bytes are missing, and nobody can tell why, as the manifest is damaged: that is no reason for a worker to wait.
func TestMissingImagesOfADamagedJobHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		id := s.submit(t, "r", red, "g", green, "b", blue, "r", red)
		for place := range 4 {
			if err := s.blobs.Delete(t.Context(), ocelli.InputKey(id, ocelli.NewImageID(id, place+1))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.blobs.Put(t.Context(), ocelli.ManifestKey(id), strings.NewReader(`{"id":`)); err != nil {
			t.Fatal(err)
		}
		s.start(t, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		job, err := s.tracker.Wait(ctx, s.submit(t, "b", blue))
		if err != nil {
			t.Fatal(err)
		}
		if outcome(job) != "b=blue" {
			t.Errorf("another job: %s", outcome(job))
		}
		if stats, err := s.queue.Stats(t.Context()); err != nil || stats.Backlog() != 0 {
			t.Errorf("%d messages are left: %v", stats.Backlog(), err)
		}
	})
}
