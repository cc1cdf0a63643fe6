package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Mem is a [Launcher] whose workers are goroutines of this process: for tests, and for the simulator of a
// fleet. Close ends what is left.
type Mem struct {
	delay time.Duration
	work  MemWork
	exits chan Exit
	wg    sync.WaitGroup

	mu    sync.Mutex
	alive map[string]*memWorker
	last  int // number of the last instance
}

// MemWork is a worker of a [Mem]. drain is closed when it is to finish what it holds and return; ctx ends when it
// is to return at once. An error is a crash.
type MemWork func(ctx context.Context, drain <-chan struct{}, name string) error

type memWorker struct {
	Instance
	kill    context.CancelFunc
	drain   chan struct{}
	drained sync.Once
}

// NewMem returns a launcher whose workers begin with work a delay after their launch. A nil work does nothing
// until it is drained.
func NewMem(delay time.Duration, work MemWork) *Mem {
	if work == nil {
		work = waitForDrain
	}
	return &Mem{delay: delay, work: work, exits: make(chan Exit, 64), alive: map[string]*memWorker{}}
}

func waitForDrain(ctx context.Context, drain <-chan struct{}, _ string) error {
	select {
	case <-ctx.Done():
	case <-drain:
	}
	return nil
}

// Exits tells of each worker that ended.
func (m *Mem) Exits() <-chan Exit { return m.exits }

// Close terminates all workers and waits until they have returned.
func (m *Mem) Close() {
	m.mu.Lock()
	names := slices.Collect(maps.Keys(m.alive))
	m.mu.Unlock()
	m.each(names, func(w *memWorker) { w.kill() })
	m.wg.Wait()
}

// Launch starts a goroutine for each name.
func (m *Mem) Launch(ctx context.Context, names ...string) ([]Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("launch %d workers: %w", len(names), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var launched []Instance
	var errs []error
	for _, name := range names {
		if err := CheckName(name); err != nil {
			errs = append(errs, err)
			continue
		}
		w := m.alive[name]
		if w == nil {
			w = m.start(name)
		}
		launched = append(launched, w.Instance)
	}
	return launched, errors.Join(errs...)
}

// start is called with mu held.
func (m *Mem) start(name string) *memWorker {
	ctx, kill := context.WithCancel(context.Background())
	m.last++
	w := &memWorker{
		Instance: Instance{Name: name, ID: strconv.Itoa(m.last), Launched: time.Now()},
		kill:     kill,
		drain:    make(chan struct{}),
	}
	m.alive[name] = w
	m.wg.Go(func() {
		defer kill()
		exit := Exit{Name: name, ID: w.ID}
		if err := m.run(ctx, w); err != nil {
			exit.How = err.Error()
		}
		select {
		case m.exits <- exit:
		default:
		}
		m.mu.Lock()
		delete(m.alive, name)
		m.mu.Unlock()
	})
	return w
}

func (m *Mem) run(ctx context.Context, w *memWorker) error {
	select {
	case <-time.After(m.delay):
	case <-w.drain:
		return nil
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		if err := m.work(ctx, w.drain, w.Name); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return errors.New("signal: killed")
	}
	return nil
}

// List returns the workers that have not returned.
func (m *Mem) List(ctx context.Context) ([]Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Instance, 0, len(m.alive))
	for _, w := range m.alive {
		all = append(all, w.Instance)
	}
	slices.SortFunc(all, func(a, b Instance) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Drain closes the drain channels of the workers.
func (m *Mem) Drain(ctx context.Context, names ...string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("drain %d workers: %w", len(names), err)
	}
	m.each(names, func(w *memWorker) { w.drained.Do(func() { close(w.drain) }) })
	return nil
}

// Terminate ends the contexts of the workers.
func (m *Mem) Terminate(ctx context.Context, names ...string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("terminate %d workers: %w", len(names), err)
	}
	m.each(names, func(w *memWorker) { w.kill() })
	return nil
}

func (m *Mem) each(names []string, do func(*memWorker)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range names {
		if w := m.alive[name]; w != nil {
			do(w)
		}
	}
}
