package intake

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// counted is a queue that tells how often it was asked for its size.
type counted struct {
	queue.Queue
	images int64
	asked  int
	err    error
}

func (q *counted) Stats(context.Context) (queue.Stats, error) {
	q.asked++
	return queue.Stats{Ready: q.images}, q.err
}

func TestTheBacklogIsCountedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b backlog
		q := &counted{images: 10}
		size := func() int64 {
			t.Helper()
			n, err := b.size(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		for range 5 {
			if n := size(); n != 10 {
				t.Errorf("%d images wait, want 10", n)
			}
		}
		b.sent(3)
		if n := size(); n != 13 || q.asked != 1 {
			t.Errorf("%d images wait after 3 more, and the queue was asked %d times; want 13 and once", n, q.asked)
		}
		time.Sleep(backlogFresh)
		q.images = 4
		if n := size(); n != 4 || q.asked != 2 {
			t.Errorf("a moment later %d wait, and the queue was asked %d times; want 4 and twice", n, q.asked)
		}
		time.Sleep(backlogFresh)
		q.err = errors.New("no answer")
		if _, err := b.size(t.Context(), q); !errors.Is(err, q.err) {
			t.Errorf("a queue that does not answer: %v", err)
		}
	})
}
