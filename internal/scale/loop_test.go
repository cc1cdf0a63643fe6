package scale_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
	"github.com/ocelli/ocelli/internal/scale"
)

var quiet = slog.New(slog.DiscardHandler)

// world is a queue, a crew of workers that take 50 ms an image, and the loop between them, in virtual time.
type world struct {
	queue *queuetest.Faulty
	crew  *fleet.Crew
	loop  *scale.Loop
	sent  atomic.Int64

	mu      sync.Mutex
	changes []scale.Decision // of those recorded, the ones that tell of a changed policy
}

func (w *world) record(d scale.Decision) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.Changed != "" {
		w.changes = append(w.changes, d)
	}
	return nil
}

func start(t *testing.T, policy scale.Policy) *world {
	const lease = 10 * time.Second
	w := &world{queue: queuetest.NewFaulty(queue.NewMem(lease, 100_000))}
	bus := notify.NewMem()
	launcher := fleet.NewMem(300*time.Millisecond, func(ctx context.Context, drain <-chan struct{}, name string) error {
		reporter := fleet.NewReporter(bus, quiet, name, "test")
		reporting, stop := context.WithCancel(ctx)
		defer stop()
		go func() { _ = reporter.Run(reporting) }()
		reporter.Ready(ocelli.Model{Name: "test"})
		for {
			select {
			case <-drain:
				return nil
			default:
			}
			ds, err := w.queue.Receive(ctx, 1, time.Second)
			if err != nil {
				return err
			}
			for _, d := range ds {
				reporter.Leased(1)
				time.Sleep(50 * time.Millisecond)
				_ = w.queue.Ack(ctx, d)
				reporter.Settled(1)
			}
		}
	})
	roster := fleet.NewRoster(bus)
	w.crew = fleet.NewCrew(launcher, roster, quiet, fleet.CrewConfig{Exits: launcher.Exits()})
	w.loop = scale.NewLoop(policy, w.queue, w.crew, w.record, quiet)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	go func() { _ = roster.Run(ctx); ended <- struct{}{} }()
	go func() { _ = w.loop.Run(ctx); ended <- struct{}{} }()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		launcher.Close()
	})
	synctest.Wait()
	return w
}

func (w *world) send(t *testing.T, n int) {
	t.Helper()
	msgs := make([]queue.Message, n)
	for i := range msgs {
		msgs[i] = queue.Message{ID: fmt.Sprint(w.sent.Add(1)), Body: []byte("x")}
	}
	if err := w.queue.Send(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
	w.loop.Wake()
}

func (w *world) backlog(t *testing.T) int64 {
	t.Helper()
	stats, err := w.queue.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Backlog()
}

func TestWorkersComeWithTheWorkAndGoWhenItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := scale.Local(4)
		policy.Min = 0
		w := start(t, policy)
		if n := len(w.crew.Snapshot().Workers); n != 0 {
			t.Fatalf("%d workers before there is work", n)
		}
		w.send(t, 200)
		time.Sleep(500 * time.Millisecond)
		if n := len(w.crew.Snapshot().Workers); n != 4 {
			d, _ := w.loop.Last()
			t.Errorf("%d workers for 200 images, want the 4 that may be: %s", n, d.Reason)
		}
		time.Sleep(6 * time.Second)
		if n := w.backlog(t); n != 0 {
			t.Errorf("%d images are left after twice the time they take", n)
		}
		time.Sleep(25 * time.Second)
		if n := len(w.crew.Snapshot().Workers); n != 0 {
			d, _ := w.loop.Last()
			t.Errorf("%d workers half a minute after the last image: %s", n, d.Reason)
		}
		w.send(t, 1)
		time.Sleep(time.Second)
		if n := w.backlog(t); n != 0 {
			t.Error("the first image after a pause was not done within a second")
		}
	})
}

// A queue that cannot be counted is no empty queue.
func TestWithoutACountTheWorkersStayAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := scale.Local(2)
		policy.Min = 0
		w := start(t, policy)
		w.send(t, 1000)
		time.Sleep(2 * time.Second)
		faults := make([]queuetest.Fault, 60)
		for i := range faults {
			faults[i] = queuetest.Before
		}
		w.queue.Fail(queuetest.Stats, faults...)
		time.Sleep(40 * time.Second)
		if n := len(w.crew.Snapshot().Workers); n != 2 {
			t.Errorf("%d workers while the queue cannot be counted, want 2", n)
		}
		if _, problem := w.loop.Last(); problem == "" {
			t.Error("nobody is told that the queue cannot be counted")
		}
	})
}

func TestDecisionsThatChangeSomethingAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recorded []scale.Decision
		q := queue.NewMem(time.Minute, 100)
		launcher := fleet.NewMem(time.Hour, nil)
		defer launcher.Close()
		crew := fleet.NewCrew(launcher, fleet.NewRoster(notify.NewMem()), quiet, fleet.CrewConfig{})
		loop := scale.NewLoop(scale.Local(2), q, crew, func(d scale.Decision) error {
			recorded = append(recorded, d)
			return errors.New("the disk is full") // and the loop goes on
		}, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = loop.Run(ctx); close(done) }()
		time.Sleep(5 * time.Second)
		if err := q.Send(t.Context(), queue.Message{ID: "1", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		cancel()
		<-done
		if len(recorded) < 1 || recorded[len(recorded)-1].Reason == "" {
			t.Errorf("recorded %d decisions", len(recorded))
		}
	})
}

func TestAChangedPolicyHoldsAtOnceAndIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := scale.Local(4)
		w := start(t, policy)
		w.send(t, 2000)
		time.Sleep(2 * time.Second)
		if n := w.crew.Snapshot().Running(); n != 4 {
			t.Fatalf("%d workers, want 4", n)
		}
		policy.Max, policy.Hold = 1, 0
		if err := w.loop.Change(policy, "at most 1 worker in place of 4"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if s := w.crew.Snapshot(); len(s.Workers) != 1 {
			t.Errorf("%d workers are left of 4, want 1", len(s.Workers))
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.changes) != 1 || w.changes[0].Changed != "at most 1 worker in place of 4" || w.changes[0].Policy.Max != 1 || w.changes[0].Want != 1 {
			t.Errorf("recorded are %+v", w.changes)
		}
		policy.Max = 0
		if err := w.loop.Change(policy, "nobody"); err == nil || w.loop.Policy().Max != 1 {
			t.Errorf("a policy without workers is in force, error %v", err)
		}
	})
}

// fixed is a crew of which a test says how it is.
type fixed struct {
	snapshot fleet.Snapshot
	wants    []int
}

func (c *fixed) Look(context.Context) (fleet.Snapshot, error) { return c.snapshot, nil }

func (c *fixed) Resize(_ context.Context, want int) (fleet.Change, error) {
	c.wants = append(c.wants, want)
	return fleet.Change{}, nil
}

// A controller that gets the lead back takes it, like any other that remembers nothing, that all workers were just needed.
func TestASecondTermRemembersNothingOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crew := &fixed{}
		loop := scale.NewLoop(scale.Cloud(19), queue.NewMem(time.Minute, 10), crew, nil, quiet)
		term := func(length time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), length)
			defer cancel()
			if err := loop.Run(ctx); err != nil {
				t.Error(err)
			}
		}
		term(10 * time.Second)
		if d, _ := loop.Last(); d.Reason != "" {
			t.Errorf("who does not lead tells: %s", d.Reason)
		}
		time.Sleep(time.Hour) // another leads, and has ten workers at the end
		crew.snapshot, crew.wants = fleet.Snapshot{Busy: 5, Idle: 5, Rate: 20}, nil
		term(10*time.Second + time.Millisecond)
		for i, want := range crew.wants {
			if want != 10 {
				t.Fatalf("at the turn %d of its second term it wants %d workers, want the 10 that another left", i, want)
			}
		}
	})
}

// slowlyCounted is a queue whose counts are under way for long.
type slowlyCounted struct{ queue.Queue }

func (q slowlyCounted) Stats(ctx context.Context) (queue.Stats, error) {
	stats, err := q.Queue.Stats(ctx)
	time.Sleep(20 * time.Second)
	return stats, err
}

func TestNothingIsDecidedOnAnOldCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.NewMem(time.Minute, 100)
		for i := range 100 {
			if err := q.Send(t.Context(), queue.Message{ID: fmt.Sprint(i), Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		crew := &fixed{snapshot: fleet.Snapshot{Idle: 3}}
		loop := scale.NewLoop(scale.Local(19), slowlyCounted{q}, crew, nil, quiet)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := loop.Run(ctx); err != nil {
			t.Error(err)
		}
		if len(crew.wants) == 0 || slices.Max(crew.wants) != 3 || slices.Min(crew.wants) != 3 {
			t.Errorf("on a count of 20 s ago it wanted %v workers, want the 3 that there are", crew.wants)
		}
	})
}

// hanging is a crew of which the first look never gets an answer.
type hanging struct {
	looks atomic.Int32
	again chan time.Time
}

func (h *hanging) Look(ctx context.Context) (fleet.Snapshot, error) {
	if h.looks.Add(1) == 1 {
		<-ctx.Done()
		return fleet.Snapshot{}, ctx.Err()
	}
	select {
	case h.again <- time.Now():
	default:
	}
	return fleet.Snapshot{}, nil
}

func (h *hanging) Resize(context.Context, int) (fleet.Change, error) { return fleet.Change{}, nil }

func TestATurnThatGetsNoAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hanging{again: make(chan time.Time, 1)}
		loop := scale.NewLoop(scale.Local(1), queue.NewMem(time.Minute, 10), h, nil, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		began := time.Now()
		go func() { ended <- loop.Run(ctx) }()
		select {
		case at := <-h.again:
			if waited := at.Sub(began); waited > 2*time.Minute {
				t.Errorf("the next turn came after %v", waited)
			}
		case <-time.After(time.Hour):
			t.Error("one call without an answer stops the scaling")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
