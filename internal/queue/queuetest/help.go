package queuetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// messages returns n messages of the group, whose IDs begin with prefix.
func messages(prefix, group string, n int) []queue.Message {
	ms := make([]queue.Message, n)
	for i := range ms {
		id := fmt.Sprintf("%s-%04d", prefix, i+1)
		ms[i] = queue.Message{ID: id, Group: group, Body: []byte("body of " + id)}
	}
	return ms
}

func send(t *testing.T, q queue.Queue, ms ...queue.Message) {
	t.Helper()
	if err := q.Send(t.Context(), ms...); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func ack(t *testing.T, q queue.Queue, ds ...queue.Delivery) {
	t.Helper()
	if err := q.Ack(t.Context(), ds...); err != nil {
		t.Fatalf("ack: %v", err)
	}
}

// receiveUpTo returns between one message and max.
func receiveUpTo(t *testing.T, q queue.Queue, max int) []queue.Delivery {
	t.Helper()
	ds, err := q.Receive(t.Context(), max, queue.MaxWait)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	if len(ds) == 0 || len(ds) > max {
		t.Fatalf("receive up to %d messages: got %d", max, len(ds))
	}
	return ds
}

// receive returns exactly n messages, which may take several calls.
func receive(t *testing.T, q queue.Queue, n int) []queue.Delivery {
	t.Helper()
	var ds []queue.Delivery
	for len(ds) < n {
		ds = append(ds, receiveUpTo(t, q, min(n-len(ds), queue.MaxReceive))...)
	}
	return ds
}

// none checks that nothing is ready.
func none(t *testing.T, q queue.Queue) {
	t.Helper()
	ds, err := q.Receive(t.Context(), 10, 200*time.Millisecond)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	for _, d := range ds {
		t.Errorf("%s was delivered, attempt %d, when nothing should be ready", d.ID, d.Attempt)
	}
}

func getStats(t *testing.T, q queue.Queue) queue.Stats {
	t.Helper()
	s, err := q.Stats(t.Context())
	if err != nil {
		t.Fatalf("stats: %v", err)
	}
	return s
}

// settled waits until the backlog is n, which is at once where stats are exact, but for an ack on its way.
func settled(t *testing.T, q queue.Queue, n int64) queue.Stats {
	t.Helper()
	for end := time.Now().Add(slack); ; {
		s := getStats(t, q)
		if s.Backlog() == n {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("stats say %d ready and %d leased, and %d messages are not settled", s.Ready, s.Leased, n)
		}
		wait(t, 10*time.Millisecond)
	}
}

// wait passes time that a real server needs.
func wait(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
