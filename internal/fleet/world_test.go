package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/fleettest"
	"github.com/ocelli/ocelli/internal/notify"
)

// world is a crew with workers that report, in the virtual time of a synctest bubble.
type world struct {
	t      *testing.T
	bus    *notify.Mem
	mem    *fleet.Mem
	faulty *fleettest.Faulty
	roster *fleet.Roster
	crew   *fleet.Crew
	// begin, if set, is what a worker does before it is ready; an error is a crash.
	begin func(ctx context.Context, name string) error

	mu    sync.Mutex
	hands map[string]*hand
}

// hand is how a test steers one worker.
type hand struct {
	*fleet.Reporter
	end  chan error    // ends the worker at once
	mute func()        // stops its reports
	deaf chan struct{} // closed: it does not listen to drain
}

var quiet = slog.New(slog.DiscardHandler)

// inWorld runs a test with a crew whose workers take delay to start.
func inWorld(t *testing.T, delay time.Duration, config fleet.CrewConfig, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, bus: notify.NewMem(), hands: map[string]*hand{}}
		w.mem = fleet.NewMem(delay, w.work)
		t.Cleanup(w.mem.Close)
		w.faulty = fleettest.NewFaulty(w.mem)
		w.roster = fleet.NewRoster(w.bus)
		go w.roster.Run(t.Context())
		config.Exits = w.mem.Exits()
		w.crew = fleet.NewCrew(w.faulty, w.roster, quiet, config)
		synctest.Wait()
		test(t, w)
	})
}

// work is a worker.
func (w *world) work(ctx context.Context, drain <-chan struct{}, name string) error {
	if w.begin != nil {
		if err := w.begin(ctx, name); err != nil {
			return err
		}
	}
	reporting, mute := context.WithCancel(context.WithoutCancel(ctx))
	defer mute()
	h := &hand{
		Reporter: fleet.NewReporter(w.bus, quiet, name, "test"),
		end:      make(chan error), mute: mute, deaf: make(chan struct{}),
	}
	w.mu.Lock()
	w.hands[name] = h
	w.mu.Unlock()
	h.Ready(ocelli.Model{Name: "model"})
	go h.Run(reporting)
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.end:
		return err
	case <-drain:
	}
	h.Drain()
	for {
		select {
		case <-h.deaf:
			<-ctx.Done()
			return nil
		default:
		}
		if h.Report().Holding == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hand returns the steering of a worker that is alive and ready.
func (w *world) hand(name string) *hand {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hands[name] == nil {
		w.t.Fatalf("worker %s has not been ready", name)
	}
	return w.hands[name]
}

// crash ends a worker as a crash does: no last word on the bus.
func (w *world) crash(name string) {
	w.t.Helper()
	h := w.hand(name)
	h.end <- errors.New("signal: killed")
	synctest.Wait()
}

// freeze makes a worker neither report nor listen to a drain, as a process does that is stopped.
func (w *world) freeze(name string) {
	w.t.Helper()
	h := w.hand(name)
	h.mute()
	close(h.deaf)
	synctest.Wait()
}

// unmute makes one report again that was mute.
func (w *world) unmute(name string) {
	w.t.Helper()
	h := w.hand(name)
	h.Leased(1)
	h.Settled(1)
	go h.Run(w.t.Context())
	synctest.Wait()
}

// turn is one turn of a scaler's loop.
func (w *world) turn(want int) (fleet.Snapshot, fleet.Change) {
	w.t.Helper()
	synctest.Wait()
	seen, err := w.crew.Look(w.t.Context())
	if err != nil {
		w.t.Fatalf("Look: %v", err)
	}
	change, err := w.crew.Resize(w.t.Context(), want)
	if err != nil {
		w.t.Fatalf("Resize: %v", err)
	}
	synctest.Wait()
	return seen, change
}

// turns is a turn each second for so long; it returns all that was done.
func (w *world) turns(took time.Duration, want int) (all fleet.Change) {
	w.t.Helper()
	for end := time.Now().Add(took); time.Now().Before(end); time.Sleep(time.Second) {
		_, change := w.turn(want)
		all.Launched = append(all.Launched, change.Launched...)
		all.Drained = append(all.Drained, change.Drained...)
		all.Ended = append(all.Ended, change.Ended...)
		all.Held = change.Held
	}
	return all
}

// states returns what the crew says of its workers, name by name.
func (w *world) states() map[string]fleet.State {
	w.t.Helper()
	synctest.Wait()
	seen, err := w.crew.Look(w.t.Context())
	if err != nil {
		w.t.Fatalf("Look: %v", err)
	}
	states := map[string]fleet.State{}
	for _, worker := range seen.Workers {
		states[worker.Name] = worker.State
	}
	return states
}
