package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
)

// After a time in which the controller could not look either, the workers may take as long as ever to be heard.
func TestWorkersAreNotSilentWhileNobodyListens(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{SilentFor: 20 * time.Second}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 2)
		w.hand(w1).mute()
		w.hand(w2).mute()
		time.Sleep(time.Minute)
		diff(t, "soon after", fleet.Change{}, w.turns(19*time.Second, 2))
		diff(t, "later", fleet.Change{Drained: []string{w1, w2}, Launched: []string{w3, "ocelli-worker-4"}}, w.turns(3*time.Second, 2))
	})
}

func TestSilentWorkerIsReplaced(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{SilentFor: 20 * time.Second}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 2)
		w.freeze(w2)
		diff(t, "soon", fleet.Change{}, w.turns(9*time.Second, 2))
		diff(t, "when it is not reckoned with any more", fleet.Change{Launched: []string{w3}}, w.turns(6*time.Second, 2))
		diff(t, "states", map[string]fleet.State{w1: fleet.Idle, w2: fleet.Silent, w3: fleet.Idle}, w.states())
		seen := w.crew.Snapshot()
		want := "ocelli-worker-2 has said nothing for 16s: it is not reckoned with, and ended if it stays silent"
		if seen.Running() != 2 || seen.Silent != 1 || seen.Trouble != want {
			t.Errorf("%d running, %d silent, trouble %q; want 2, 1 and %q", seen.Running(), seen.Silent, seen.Trouble, want)
		}
		diff(t, "later", fleet.Change{Drained: []string{w2}}, w.turns(6*time.Second, 2))
		diff(t, "when it has not heard that it is to go", fleet.Change{Ended: []string{w2}}, w.turns(11*time.Second, 2))
		diff(t, "states", map[string]fleet.State{w1: fleet.Idle, w3: fleet.Idle}, w.states())
	})
}

func TestSilentWorkerMayComeBack(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 1)
		w.hand(w1).mute()
		diff(t, "while it is silent", fleet.Change{Launched: []string{w2}}, w.turns(20*time.Second, 1))
		w.unmute(w1)
		diff(t, "states", map[string]fleet.State{w1: fleet.Idle, w2: fleet.Idle}, w.states())
		diff(t, "afterwards", fleet.Change{}, w.turns(time.Minute, 2))
	})
}

// Where only one worker may be alive, one that hangs is in the way of another.
func TestTheOnlyWorkerHangs(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{Max: 1}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 1)
		w.freeze(w1)
		change := w.turns(15*time.Second, 1)
		if !strings.HasPrefix(change.Held, "waiting for workers to end: of the 1 that may be alive") {
			t.Errorf("after 15 s it is held back by %q", change.Held)
		}
		w.turns(30*time.Second, 1)
		if seen, _ := w.turn(1); seen.Idle != 1 {
			t.Errorf("after 45 s there are %v, want one that is idle", seen.Workers)
		}
	})
}

// A bus that fails takes none of the workers away, and machines for all of them are not launched at once.
func TestWorkersThatFallSilentTogetherAreReckonedWith(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{SilentFor: time.Minute}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 3)
		for _, name := range []string{w1, w2, w3} {
			w.hand(name).mute()
		}
		diff(t, "while nobody is heard", fleet.Change{}, w.turns(45*time.Second, 3))
		w.unmute(w1)
		diff(t, "when the first is heard", fleet.Change{}, w.turns(5*time.Second, 3))
		diff(t, "when the others are still silent", []string{w4, "ocelli-worker-5"}, w.turns(10*time.Second, 3).Launched)
	})
}

// What hangs when nobody is wanted any more keeps no controller from ending.
func TestSilentWorkerIsNotWaitedForWhereNobodyIsWanted(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 1)
		w.freeze(w1)
		w.turns(15*time.Second, 1)
		diff(t, "ended", []string{w1}, w.turns(12*time.Second, 0).Ended)
	})
}
