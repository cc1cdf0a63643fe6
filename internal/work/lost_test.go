package work_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/retain"
)

// The service starts again and its queue is empty: every image that was accepted ends all the same.
func TestAJobEndsThoughTheQueueWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs := new(blob.Mem)
		id := newService(blobs, queue.NewMem(lease, 1000)).submit(t, "r", red, "text", []byte("text"), "g", green)
		s := newService(blobs, queue.NewMem(lease, 1000))
		ctx := s.start(t, 2)
		janitor := &retain.Janitor{Log: slog.New(slog.DiscardHandler), Jobs: &retain.Jobs{
			Blobs: blobs, Results: s.intake.Results, Queue: s.queue, Store: s.intake.Store, Topic: s.tracker.Topic(), Backlog: 1000, Forget: s.tracker.Forget}}
		ended := make(chan struct{})
		go func() { _ = janitor.Run(ctx); close(ended) }()
		t.Cleanup(func() { <-ended })
		began := time.Now()
		if got := outcome(s.ended(t, id)); got != "r=red text=unsupported_type g=green" || time.Since(began) > 15*time.Minute {
			t.Errorf("after %v: %s", time.Since(began), got)
		}
	})
}
