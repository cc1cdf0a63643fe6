package fleet_test

import (
	"context"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
)

func TestWorkersOfAnEarlierControllerAreAdopted(t *testing.T) {
	config := fleet.CrewConfig{StartDeadline: 30 * time.Second}
	inWorld(t, 0, config, func(t *testing.T, w *world) {
		w.turns(time.Minute, 2)
		w.begin = func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
		if _, err := w.mem.Launch(t.Context(), "stray"); err != nil {
			t.Fatal(err)
		}
		config.Exits = w.mem.Exits()
		w.crew = fleet.NewCrew(w.faulty, w.roster, quiet, config)
		time.Sleep(time.Second)
		diff(t, "what a new controller does", fleet.Change{}, w.turns(30*time.Second, 3))
		diff(t, "states", map[string]fleet.State{w1: fleet.Idle, w2: fleet.Idle, "stray": fleet.Starting}, w.states())
		if got := w.crew.Snapshot().StartUp; got != 0 {
			t.Errorf("it learned a start-up time of %v from workers that it did not launch", got)
		}
		_, change := w.turn(2)
		diff(t, "what becomes of a silent one", fleet.Change{Ended: []string{"stray"}}, change)
	})
}

// endingAll is a launcher that sees all its workers end.
type endingAll struct{ fleet.Launcher }

func (e endingAll) List(ctx context.Context) ([]fleet.Instance, error) {
	all, err := e.Launcher.List(ctx)
	for i := range all {
		all[i].Ending = true
	}
	return all, err
}

// Machines that shut down take a minute over it; a controller that takes over meanwhile neither counts on them nor waits to hear of them.
func TestAWorkerThatEndsIsAdoptedAsOneThatLeaves(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 2)
		w.freeze(w1)
		w.freeze(w2)
		time.Sleep(time.Minute)
		w.crew = fleet.NewCrew(endingAll{w.mem}, w.roster, quiet, fleet.CrewConfig{})
		began := time.Now()
		w.crew.Listen(t.Context())
		if took := time.Since(began); took > 0 {
			t.Errorf("it listened for %v", took)
		}
		diff(t, "states", map[string]fleet.State{w1: fleet.Draining, w2: fleet.Draining}, w.states())
		_, change := w.turn(1)
		diff(t, "change", fleet.Change{Launched: []string{w3}}, change)
	})
}

// A controller that takes over hears who is there before it counts: otherwise workers that have been at work for long would be taken for
// ones that never came.
func TestANewControllerListensFirst(t *testing.T) {
	config := fleet.CrewConfig{}
	inWorld(t, 0, config, func(t *testing.T, w *world) {
		w.turns(time.Hour, 2)
		w.roster = fleet.NewRoster(w.bus)
		go w.roster.Run(t.Context())
		w.crew = fleet.NewCrew(w.faulty, w.roster, quiet, config)
		began := time.Now()
		w.crew.Listen(t.Context())
		if took := time.Since(began); took < 500*time.Millisecond || took > 2*time.Second {
			t.Errorf("it listened for %v", took)
		}
		if s := w.crew.Snapshot(); s.Idle != 2 || len(s.Starting) != 0 {
			t.Errorf("it knows of %d idle workers, and of some that started at %v", s.Idle, s.Starting)
		}
		w.hand(w2).mute()
		time.Sleep(10 * time.Second)
		began = time.Now()
		w.crew.Listen(t.Context())
		if took := time.Since(began); took < 8*time.Second || took > 9*time.Second {
			t.Errorf("for one that is silent it waited %v", took)
		}
	})
	inWorld(t, 0, config, func(t *testing.T, w *world) {
		began := time.Now()
		w.crew.Listen(t.Context())
		if took := time.Since(began); took > 0 {
			t.Errorf("where nobody is it listened for %v", took)
		}
	})
}
