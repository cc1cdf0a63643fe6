package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// ErrFault is what a [Faulty] queue fails with, wrapped.
var ErrFault = errors.New("injected fault")

// Fault is what becomes of one call.
type Fault int

// The faults come in pairs: whoever gets an error does not know which of the two it was.
const (
	None   Fault = iota // the call goes through
	Before              // failed, and did not happen
	After               // failed, but happened
)

// Op names a method of the queue.
type Op string

// The methods that can be made to fail.
const (
	Send    Op = "send"
	Receive Op = "receive"
	Ack     Op = "ack"
	Extend  Op = "extend"
	Nack    Op = "nack"
	Stats   Op = "stats"
)

// Faulty passes calls on to a queue and makes chosen ones fail.
type Faulty struct {
	queue queue.Queue

	mu   sync.Mutex
	plan map[Op][]Fault
}

// NewFaulty returns a queue that behaves like q until [Faulty.Fail] is called.
func NewFaulty(q queue.Queue) *Faulty {
	return &Faulty{queue: q, plan: make(map[Op][]Fault)}
}

// Fail says what becomes of the next calls of op, one fault for each; those after them go through.
func (f *Faulty) Fail(op Op, faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan[op] = append(f.plan[op], faults...)
}

// do makes the call as planned.
func (f *Faulty) do(op Op, call func() error) error {
	f.mu.Lock()
	fault := None
	if plan := f.plan[op]; len(plan) > 0 {
		fault, f.plan[op] = plan[0], plan[1:]
	}
	f.mu.Unlock()
	switch fault {
	case Before:
		return fmt.Errorf("%s: %w before it happened", op, ErrFault)
	case After:
		if err := call(); err != nil {
			return err
		}
		return fmt.Errorf("%s: %w after it happened", op, ErrFault)
	}
	return call()
}

// Send implements [queue.Queue].
func (f *Faulty) Send(ctx context.Context, msgs ...queue.Message) error {
	return f.do(Send, func() error { return f.queue.Send(ctx, msgs...) })
}

// Receive implements [queue.Queue]. What it leased in a call that failed after it happened comes back when
// the lease passes.
func (f *Faulty) Receive(ctx context.Context, max int, wait time.Duration) ([]queue.Delivery, error) {
	var ds []queue.Delivery
	err := f.do(Receive, func() (err error) {
		ds, err = f.queue.Receive(ctx, max, wait)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ds, nil
}

// Ack implements [queue.Queue].
func (f *Faulty) Ack(ctx context.Context, ds ...queue.Delivery) error {
	return f.do(Ack, func() error { return f.queue.Ack(ctx, ds...) })
}

// Extend implements [queue.Queue].
func (f *Faulty) Extend(ctx context.Context, ds ...queue.Delivery) error {
	return f.do(Extend, func() error { return f.queue.Extend(ctx, ds...) })
}

// Nack implements [queue.Queue].
func (f *Faulty) Nack(ctx context.Context, delay time.Duration, ds ...queue.Delivery) error {
	return f.do(Nack, func() error { return f.queue.Nack(ctx, delay, ds...) })
}

// Stats implements [queue.Queue].
func (f *Faulty) Stats(ctx context.Context) (queue.Stats, error) {
	var s queue.Stats
	err := f.do(Stats, func() (err error) {
		s, err = f.queue.Stats(ctx)
		return err
	})
	return s, err
}
