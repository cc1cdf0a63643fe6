package work

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/queue"
)

func TestAhead(t *testing.T) {
	for _, test := range []struct {
		says          string
		looked, saved float64 // ms
		concurrency   int
		want          int
	}{
		{"before the first image, those in hand and as many again", 0, 0, 2, 4},
		{"the same where images take long", 1000, 5, 2, 4},
		{"more where they are quick, to bridge 50 ms", 4, 0, 2, 26},
		{"more where saving is slow, to keep the processor busy", 10, 80, 2, 28},
		{"a bound where they take next to no time", 0.01, 1, 2, 32},
		{"a bound where the store does not answer", 10, 60_000, 2, 32},
		{"never fewer than twice those in hand", 1000, 1, 64, 128},
	} {
		var p pace
		if test.looked > 0 {
			p.took(ocelli.Timings{Decode: test.looked / 4, Infer: test.looked * 3 / 4}, time.Duration(test.saved*float64(time.Millisecond)))
		}
		if got := p.ahead(test.concurrency); got != test.want {
			t.Errorf("%s: %d, want %d", test.says, got, test.want)
		}
	}
	var p pace
	for range 100 {
		p.took(ocelli.Timings{Infer: 100}, 0)
	}
	for range 20 {
		p.took(ocelli.Timings{Infer: 10}, 0)
	}
	if got := p.ahead(2); got < 6 || got > 12 {
		t.Errorf("20 images after a change from 100 ms to 10 ms: %d, want something between", got)
	}
}

// slowAcks is a queue whose acks take a second.
type slowAcks struct {
	queue.Queue
	mu    sync.Mutex
	calls []int // acks of each call
}

func (q *slowAcks) Ack(_ context.Context, ds ...queue.Delivery) error {
	time.Sleep(time.Second)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, len(ds))
	return nil
}

func TestAcksThatComeTogetherAreSentTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &slowAcks{}
		w := &Worker{Queue: q, Log: slog.New(slog.DiscardHandler)}
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				w.ack(t.Context(), &queue.Delivery{})
			})
		}
		all.Wait()
		sum := 0
		for _, n := range q.calls {
			sum += n
		}
		if len(q.calls) != 4 || sum != 24 { // one alone, and the other 23 in parts of ten
			t.Errorf("calls with %v acks, want 1, 10, 10 and 3", q.calls)
		}
	})
}
