// Package leadtest holds every driver of [scale.Leadership] to its contract.
package leadtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/scale"
)

// Open returns another candidate for one and the same lead.
type Open func(t *testing.T) scale.Leadership

// HandoverTime is how soon another leads after a clean end, with room for a busy machine.
const HandoverTime = 9 * time.Second

// Run runs the suite. start gives each test a lead of its own.
func Run(t *testing.T, start func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"one at a time":                   oneAtATime,
		"an error of fn gives it up":      failing,
		"a candidate that gives up":       givesUp,
		"kept until things are in order":  inOrder,
		"the same process may lead again": again,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// Candidate is a process that waits for its turn, or leads.
type Candidate struct {
	Began <-chan struct{} // closed when it leads
	Ended <-chan struct{} // closed when the context of its fn has ended
	quit  context.CancelFunc
	done  chan error
}

// Stand makes a candidate of l that leads until it loses the lead or quits; linger is called then. The test's end makes it quit.
func Stand(t *testing.T, l scale.Leadership, linger func()) *Candidate {
	ctx, quit := context.WithCancel(context.Background())
	began, ended := make(chan struct{}), make(chan struct{})
	c := &Candidate{Began: began, Ended: ended, quit: quit, done: make(chan error, 1)}
	var first sync.Once
	go func() {
		c.done <- l.Lead(ctx, func(ctx context.Context) error {
			first.Do(func() {
				close(began)
				<-ctx.Done()
				close(ended)
			})
			<-ctx.Done()
			linger()
			return nil
		})
	}()
	t.Cleanup(func() { c.Quit(t) })
	return c
}

// Quit ends the candidate cleanly and waits until its Lead has returned.
func (c *Candidate) Quit(t *testing.T) {
	t.Helper()
	c.quit()
	select {
	case err := <-c.done:
		if err != nil {
			t.Errorf("Lead: %v, want nil after a clean end", err)
		}
		c.done <- nil
	case <-time.After(HandoverTime):
		t.Fatal("Lead has not returned after its context ended")
	}
}

// Await waits until what happens, or fails the test.
func Await(t *testing.T, what string, happens <-chan struct{}, within time.Duration) {
	t.Helper()
	select {
	case <-happens:
	case <-time.After(within):
		t.Fatalf("%s: not within %v", what, within)
	}
}

func nothing() {}

func oneAtATime(t *testing.T, open Open) {
	const candidates = 4
	var leading atomic.Int32
	turns := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range candidates {
		l := open(t)
		all.Go(func() {
			mine, quit := context.WithCancel(ctx)
			defer quit()
			err := l.Lead(mine, func(ctx context.Context) error {
				if n := leading.Add(1); n != 1 {
					t.Errorf("%d lead at once", n)
				}
				turns <- struct{}{}
				quit()
				<-ctx.Done()
				leading.Add(-1)
				return nil
			})
			if err != nil {
				t.Errorf("Lead: %v", err)
			}
		})
	}
	for range candidates {
		Await(t, "each candidate has its turn", turns, HandoverTime)
	}
	cancel()
	all.Wait()
}

func failing(t *testing.T, open Open) {
	broken := errors.New("broken")
	if err := open(t).Lead(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Lead: %v, want the error of fn", err)
	}
	Await(t, "another leads after the failure of the first", Stand(t, open(t), nothing).Began, HandoverTime)
}

func givesUp(t *testing.T, open Open) {
	first := Stand(t, open(t), nothing)
	Await(t, "the first leads", first.Began, HandoverTime)
	second := Stand(t, open(t), nothing)
	second.Quit(t)
	select {
	case <-second.Began:
		t.Error("two lead at once")
	case <-first.Ended:
		t.Error("the first has lost the lead to a candidate that gave up")
	default:
	}
}

func inOrder(t *testing.T, open Open) {
	tidy, tidying := make(chan struct{}), make(chan struct{})
	first := Stand(t, open(t), func() { close(tidying); <-tidy })
	Await(t, "the first leads", first.Began, HandoverTime)
	second := Stand(t, open(t), nothing)
	first.quit()
	Await(t, "the first puts its things in order", tidying, HandoverTime)
	select {
	case <-second.Began:
		t.Error("the second leads before the first has put its things in order")
	case <-time.After(6 * time.Second): // longer than a lease that nobody renews
	}
	close(tidy)
	Await(t, "the second leads", second.Began, HandoverTime)
}

func again(t *testing.T, open Open) {
	l := open(t)
	for range 2 {
		c := Stand(t, l, nothing)
		Await(t, "it leads", c.Began, HandoverTime)
		c.Quit(t)
	}
}
