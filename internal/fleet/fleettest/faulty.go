package fleettest

import (
	"context"
	"errors"
	"sync"

	"github.com/ocelli/ocelli/internal/fleet"
)

// ErrFault is the error of a call that was told to fail.
var ErrFault = errors.New("a fault set by the test")

// Faulty passes calls on to a launcher, and fails some of them on request: without passing them on, or after they have
// happened.
type Faulty struct {
	to fleet.Launcher

	mu   sync.Mutex
	next []bool // for each call to fail: whether it happens nevertheless
}

// NewFaulty returns a launcher without faults.
func NewFaulty(to fleet.Launcher) *Faulty { return &Faulty{to: to} }

// FailNext makes the next call fail that is not yet told to, of whatever method; happens tells whether it has its
// effect.
func (f *Faulty) FailNext(happens ...bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = append(f.next, happens...)
}

// Heal makes no further call fail.
func (f *Faulty) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = nil
}

func (f *Faulty) call(do func() error) error {
	f.mu.Lock()
	fail := len(f.next) > 0
	happens := !fail || f.next[0]
	if fail {
		f.next = f.next[1:]
	}
	f.mu.Unlock()
	var err error
	if happens {
		err = do()
	}
	if fail {
		return ErrFault
	}
	return err
}

// Launch implements [fleet.Launcher].
func (f *Faulty) Launch(ctx context.Context, names ...string) (launched []fleet.Instance, err error) {
	err = f.call(func() (err error) {
		launched, err = f.to.Launch(ctx, names...)
		return err
	})
	if errors.Is(err, ErrFault) {
		return nil, err
	}
	return launched, err
}

// List implements [fleet.Launcher].
func (f *Faulty) List(ctx context.Context) (all []fleet.Instance, err error) {
	err = f.call(func() (err error) {
		all, err = f.to.List(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Drain implements [fleet.Launcher].
func (f *Faulty) Drain(ctx context.Context, names ...string) error {
	return f.call(func() error { return f.to.Drain(ctx, names...) })
}

// Terminate implements [fleet.Launcher].
func (f *Faulty) Terminate(ctx context.Context, names ...string) error {
	return f.call(func() error { return f.to.Terminate(ctx, names...) })
}
