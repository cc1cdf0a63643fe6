package queue_test

import (
	"errors"
	"flag"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "6") // the cases mostly wait for leases to pass
	os.Exit(m.Run())
}

func openMem(_ *testing.T, lease time.Duration) queue.Queue { return queue.NewMem(lease, 10_000) }

func TestMem(t *testing.T)      { t.Parallel(); queuetest.Run(t, openMem) }
func TestMemDedup(t *testing.T) { t.Parallel(); queuetest.Dedup(t, openMem) }
func TestMemFair(t *testing.T)  { t.Parallel(); queuetest.Fair(t, openMem) }

func TestMemLeasesToTheTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.NewMem(30*time.Second, 10)
		start := time.Now()
		if err := q.Send(t.Context(), queue.Message{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		var until []time.Duration
		for range 3 {
			ds, err := q.Receive(t.Context(), 1, 20*time.Second)
			for err == nil && len(ds) == 0 {
				ds, err = q.Receive(t.Context(), 1, 20*time.Second)
			}
			if err != nil {
				t.Fatal(err)
			}
			until = append(until, time.Since(start))
		}
		if until[0] != 0 || until[1] != 30*time.Second || until[2] != 60*time.Second {
			t.Errorf("with a lease of 30s the message came after %v", until)
		}
	})
}

func TestMemForgetsIDsAfterTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.NewMem(time.Hour, 10)
		for _, step := range []struct {
			pass time.Duration
			want int64
		}{{0, 1}, {119 * time.Second, 1}, {time.Second, 2}} {
			time.Sleep(step.pass) // the bubble's clock, not a real wait
			if err := q.Send(t.Context(), queue.Message{ID: "a"}); err != nil {
				t.Fatal(err)
			}
			if s, err := q.Stats(t.Context()); err != nil || s.Backlog() != step.want {
				t.Errorf("after %v more: backlog %d, %v; want %d", step.pass, s.Backlog(), err, step.want)
			}
		}
	})
}

func TestMemIsBounded(t *testing.T) {
	q := queue.NewMem(time.Minute, 2)
	if err := q.Send(t.Context(), queue.Message{ID: "a"}, queue.Message{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := q.Send(t.Context(), queue.Message{ID: "c"}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("a third message in a queue of two: %v", err)
	}
}
