// Package procfleet launches workers as child processes of this one.
//
// # Life
//
// A worker is the configured command, run in a process group of its own, so that Ctrl-C on a terminal reaches the
// parent alone, which then drains its workers in order. It finds its name in [fleet.NameEnv] and the read end of a pipe, its
// lifeline, under the number in [LifelineEnv]. Its output goes to the parent's, line by line with its name in
// front. When it ends it is reaped at once and its [fleet.Exit] sent.
//
// # Promises
//
// No worker outlives the launcher, even when that is killed with SIGKILL: the queue that `ocelli up` embeds is gone with
// it, and the next `ocelli up` must not find a second set of workers. On Linux the kernel sends SIGKILL when
// the parent dies (PR_SET_PDEATHSIG, prctl(2)). That signal is bound to the thread that forked and not to the
// process, so all workers are forked from one thread, which lives as long as [Launcher.Run]. The lifeline does the same more
// gently and everywhere, for a worker that watches it ([WatchParent]), also behind a wrapper that forks.
//
// A worker is signalled by its pidfd where the system has one (os.Process does that), so a process id that was
// given to another process meanwhile is never hit.
//
// # Not promised
//
// List does not survive the launcher, since the workers do not either. There is no limit on what a worker uses.
//
// # Costs
//
// A fork takes a few milliseconds, and those of one Launch follow one another. Each worker has two pipes and two
// goroutines in the parent.
package procfleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
)

// Config says what a worker is.
type Config struct {
	Command []string  // program and arguments, the same for every worker
	Env     []string  // "KEY=value", added to this process's environment
	Dir     string    // working directory; "" is this process's
	Output  io.Writer // gets the workers' lines, one Write each; nil drops them
	// Grace is how long Run, when it ends, lets drained workers finish before it kills them. Default 10 s.
	Grace time.Duration
}

// Launcher is a [fleet.Launcher] of child processes. Launch works while Run runs.
type Launcher struct {
	config Config
	output *output
	starts chan start
	exits  chan fleet.Exit
	over   chan struct{} // closed when Run begins to end

	mu       sync.Mutex
	children map[string]*child
	unreaped sync.WaitGroup
}

// start asks the forking thread for one worker.
type start struct {
	name   string
	answer chan<- started
}

type started struct {
	fleet.Instance
	err error
}

var _ fleet.Launcher = (*Launcher)(nil)

// New returns a launcher. Nothing runs until Run.
func New(config Config) (*Launcher, error) {
	if len(config.Command) == 0 {
		return nil, errors.New("launch workers as processes: no command is given")
	}
	config.Grace = cmp.Or(config.Grace, 10*time.Second)
	return &Launcher{
		config:   config,
		output:   &output{w: config.Output},
		starts:   make(chan start),
		exits:    make(chan fleet.Exit, 256),
		over:     make(chan struct{}),
		children: map[string]*child{},
	}, nil
}

// Exits tells how each worker ended.
func (l *Launcher) Exits() <-chan fleet.Exit { return l.exits }

// Run forks the workers that Launch asks for until ctx ends. Then it drains those alive, kills what is left
// after the grace period, and returns when all are reaped. It runs once.
func (l *Launcher) Run(ctx context.Context) error {
	// Should this thread end, the kernel would kill every worker: see the package comment.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case s := <-l.starts:
			inst, err := l.start(s.name)
			s.answer <- started{inst, err}
		}
	}
	close(l.over)
	l.endAll()
	return nil
}

func (l *Launcher) endAll() {
	l.each(nil, func(c *child) { c.signal(syscall.SIGTERM) })
	gone := make(chan struct{})
	go func() {
		l.unreaped.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(l.config.Grace):
		l.each(nil, func(c *child) { c.signal(syscall.SIGKILL) })
		<-gone
	}
}

// Launch forks a worker for each name. It waits for Run where that has not begun yet.
func (l *Launcher) Launch(ctx context.Context, names ...string) ([]fleet.Instance, error) {
	var launched []fleet.Instance
	var errs []error
	for _, name := range names {
		inst, err := l.launch(ctx, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("launch worker %.80s: %w", name, err))
			continue
		}
		launched = append(launched, inst)
	}
	return launched, errors.Join(errs...)
}

func (l *Launcher) launch(ctx context.Context, name string) (fleet.Instance, error) {
	if err := cmp.Or(ctx.Err(), fleet.CheckName(name)); err != nil {
		return fleet.Instance{}, err
	}
	answer := make(chan started, 1)
	select {
	case l.starts <- start{name, answer}:
		s := <-answer // a fork takes milliseconds
		return s.Instance, s.err
	case <-l.over:
		return fleet.Instance{}, errors.New("the launcher is shutting down")
	case <-ctx.Done():
		return fleet.Instance{}, ctx.Err()
	}
}

// List returns the children that are not reaped.
func (l *Launcher) List(ctx context.Context) ([]fleet.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	var all []fleet.Instance
	l.each(nil, func(c *child) { all = append(all, c.Instance) })
	slices.SortFunc(all, func(a, b fleet.Instance) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Drain sends SIGTERM.
func (l *Launcher) Drain(ctx context.Context, names ...string) error {
	return l.signal(ctx, "drain", syscall.SIGTERM, names)
}

// Terminate sends SIGKILL.
func (l *Launcher) Terminate(ctx context.Context, names ...string) error {
	return l.signal(ctx, "terminate", syscall.SIGKILL, names)
}

func (l *Launcher) signal(ctx context.Context, verb string, sig os.Signal, names []string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %d workers: %w", verb, len(names), err)
	}
	if len(names) == 0 {
		return nil
	}
	var errs []error
	l.each(names, func(c *child) {
		if err := c.signal(sig); err != nil {
			errs = append(errs, fmt.Errorf("%s worker %s: %w", verb, c.Name, err))
		}
	})
	return errors.Join(errs...)
}

// each calls do for the children of the names that are alive; for all of them where names is nil.
func (l *Launcher) each(names []string, do func(*child)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, c := range l.children {
		if names == nil || slices.Contains(names, name) {
			do(c)
		}
	}
}
