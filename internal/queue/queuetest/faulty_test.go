package queuetest

import (
	"errors"
	"testing"

	"github.com/ocelli/ocelli/internal/queue"
)

func TestFaultsComeInPairs(t *testing.T) {
	q := NewFaulty(queue.NewMem(long, 10))
	for _, step := range []struct {
		fault Fault
		want  int64
	}{{Before, 0}, {After, 1}} {
		q.Fail(Send, step.fault)
		err := q.Send(t.Context(), queue.Message{ID: "a"})
		if !errors.Is(err, ErrFault) {
			t.Errorf("fault %d: %v", step.fault, err)
		}
		settled(t, q, step.want)
	}
	send(t, q, queue.Message{ID: "b"}) // the plan is used up
	settled(t, q, 2)
}
