package queuetest

import (
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/queue"
)

// Drain takes all that is ready out of the queue and returns the tasks, in the order of their delivery.
func Drain(t testing.TB, q queue.Queue) (tasks []ocelli.Task) {
	t.Helper()
	for {
		ds, err := q.Receive(t.Context(), queue.MaxReceive, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) == 0 {
			return tasks
		}
		for _, d := range ds {
			task, err := ocelli.DecodeTask(d.Body)
			if err != nil {
				t.Fatal(err)
			}
			tasks = append(tasks, task)
		}
		if err := q.Ack(t.Context(), ds...); err != nil {
			t.Fatal(err)
		}
	}
}
