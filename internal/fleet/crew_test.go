package fleet_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/fleettest"
)

const (
	w1 = "ocelli-worker-1"
	w2 = "ocelli-worker-2"
	w3 = "ocelli-worker-3"
	w4 = "ocelli-worker-4"
)

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestNamesAreTheLowestFree(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		_, change := w.turn(3)
		diff(t, "launched", []string{w1, w2, w3}, change.Launched)
		time.Sleep(time.Second)
		w.crash(w2)
		_, change = w.turn(4)
		diff(t, "launched", []string{w2, w4}, change.Launched)
	})
}

func TestStartingWorkersAreNotAskedForAgain(t *testing.T) {
	inWorld(t, 26*time.Second, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		asked := time.Now()
		diff(t, "launched", []string{w1, w2}, w.turns(20*time.Second, 2).Launched)
		seen, _ := w.turn(2)
		diff(t, "asked for at", []time.Time{asked, asked}, seen.Starting)
		if seen.StartUp != 0 || seen.Running() != 0 {
			t.Errorf("start-up time %v, %d running; want neither known", seen.StartUp, seen.Running())
		}
		diff(t, "launched later", fleet.Change{}, w.turns(10*time.Second, 2))
		seen, _ = w.turn(2)
		if len(seen.Starting) != 0 || seen.Idle != 2 {
			t.Errorf("%d starting and %d idle, want 2 idle", len(seen.Starting), seen.Idle)
		}
		if seen.StartUp != 26*time.Second || seen.StartUp90 != 26*time.Second {
			t.Errorf("start-up times %v and %v, want 26s", seen.StartUp, seen.StartUp90)
		}
	})
}

// slow is a launcher whose clock is two minutes slow.
type slow struct{ fleet.Launcher }

func behind(all []fleet.Instance, err error) ([]fleet.Instance, error) {
	for i := range all {
		all[i].Launched = all[i].Launched.Add(-2 * time.Minute)
	}
	return all, err
}

func (s slow) Launch(ctx context.Context, names ...string) ([]fleet.Instance, error) {
	return behind(s.Launcher.Launch(ctx, names...))
}

func (s slow) List(ctx context.Context) ([]fleet.Instance, error) {
	return behind(s.Launcher.List(ctx))
}

// A machine rented elsewhere is not late because the clock there is.
func TestTheLaunchersClockIsNotBelieved(t *testing.T) {
	inWorld(t, 26*time.Second, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.crew = fleet.NewCrew(slow{w.mem}, w.roster, quiet, fleet.CrewConfig{})
		asked := time.Now()
		w.turns(20*time.Second, 1)
		diff(t, "asked for at", []time.Time{asked}, w.crew.Snapshot().Starting)
		w.turns(10*time.Second, 1)
		if took := w.crew.Snapshot().StartUp; took != 26*time.Second {
			t.Errorf("start-up time %v, want 26s", took)
		}
	})
}

func TestScaleInTakesWhatIsWorthLeast(t *testing.T) {
	inWorld(t, time.Second, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(3*time.Second, 3)
		w.hand(w2).Leased(2)
		time.Sleep(time.Second)
		w.turn(4)
		want := map[string]fleet.State{w1: fleet.Idle, w2: fleet.Busy, w3: fleet.Idle, w4: fleet.Starting}
		diff(t, "states", want, w.states())
		for _, next := range []string{w4, w3, w1} {
			seen := w.crew.Snapshot()
			_, change := w.turn(seen.Running() + len(seen.Starting) - 1)
			diff(t, "drained", []string{next}, change.Drained)
		}
		diff(t, "states", map[string]fleet.State{w2: fleet.Busy}, w.states())
	})
}

func TestBusyWorkerFinishesWhatItHolds(t *testing.T) {
	config := fleet.CrewConfig{DrainTimeout: 10 * time.Second}
	inWorld(t, 0, config, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 1)
		w.hand(w1).Leased(3)
		time.Sleep(time.Second)
		change := w.turns(time.Minute, 0)
		diff(t, "change", fleet.Change{Drained: []string{w1}}, change)
		diff(t, "states", map[string]fleet.State{w1: fleet.Draining}, w.states())
		if seen := w.crew.Snapshot(); seen.Holding != 3 || seen.Draining != 1 || seen.Finishing != 1 || seen.Running() != 0 {
			t.Errorf("the snapshot is %+v, want one worker that drains and holds 3", seen)
		}
		w.hand(w1).Settled(3)
		time.Sleep(time.Second)
		diff(t, "states", map[string]fleet.State{}, w.states())
	})
}

func TestDrainingWorkerIsNoCapacity(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 1)
		w.hand(w1).Leased(1)
		time.Sleep(time.Second)
		w.turn(0)
		_, change := w.turn(1)
		diff(t, "launched while the first still drains", []string{w2}, change.Launched)
	})
}

// A burst that comes while workers of the one before still finish what they hold does not go beyond the bound.
func TestLeavingWorkersCountForTheBound(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{Max: 3}, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 3)
		w.hand(w1).Leased(1)
		w.hand(w2).Leased(1)
		time.Sleep(time.Second)
		w.turn(0)
		_, change := w.turn(3)
		held := "waiting for workers to end: of the 3 that may be alive, those that are leaving or silent number 2"
		diff(t, "while two leave", fleet.Change{Launched: []string{w3}, Held: held}, change)
		w.hand(w1).Settled(1)
		time.Sleep(time.Second)
		_, change = w.turn(2)
		diff(t, "when two are enough and there is room for one", fleet.Change{Launched: []string{w1}}, change)
		w.hand(w2).Settled(1)
		time.Sleep(time.Second)
		_, change = w.turn(5)
		diff(t, "when all have gone and more are wanted than may be", []string{w2}, change.Launched)
		if all, _ := w.mem.List(t.Context()); len(all) != 3 {
			t.Errorf("%d workers are alive, want the 3 that may be", len(all))
		}
	})
}

func TestWorkerThatDoesNotGoIsEnded(t *testing.T) {
	config := fleet.CrewConfig{DrainTimeout: 10 * time.Second}
	inWorld(t, 0, config, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 1)
		close(w.hand(w1).deaf)
		diff(t, "within the time", fleet.Change{Drained: []string{w1}}, w.turns(3*time.Second, 0))
		w.hand(w1).mute()
		w.turns(7*time.Second, 0)
		if seen := w.crew.Snapshot(); seen.Draining != 1 || seen.Finishing != 0 {
			t.Errorf("%d drain, of which %d are said to finish what they hold; want 1 that is silent", seen.Draining, seen.Finishing)
		}
		diff(t, "after it", fleet.Change{Ended: []string{w1}}, w.turns(5*time.Second, 0))
		diff(t, "states", map[string]fleet.State{}, w.states())
		if trouble := w.crew.Snapshot().Trouble; trouble != "" {
			t.Errorf("trouble: %s", trouble)
		}
	})
}

func TestWorkerThatNeverGetsReadyIsEnded(t *testing.T) {
	config := fleet.CrewConfig{StartDeadline: 30 * time.Second}
	inWorld(t, 0, config, func(t *testing.T, w *world) {
		w.begin = func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
		diff(t, "within the time", fleet.Change{Launched: []string{w1}}, w.turns(30*time.Second, 1))
		seen, change := w.turn(1)
		diff(t, "after it", fleet.Change{Ended: []string{w1}, Launched: []string{w2}}, change)
		if len(seen.Starting) != 1 {
			t.Errorf("%d starting, want 1", len(seen.Starting))
		}
		w.turns(31*time.Second, 1)
		want := "workers failed 2 times in 30s; the last: ocelli-worker-2 did not get ready (it was given 30s); starting again"
		diff(t, "trouble", want, w.crew.Snapshot().Trouble)
	})
}

func TestCrashLoopIsHeldBack(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.begin = func(context.Context, string) error { return errors.New("exit status 2") }
		launches := len(w.turns(10*time.Minute, 1).Launched)
		// At once, then after 1, 2, 4 … 32 s, then every minute: 8 within the first 63 s, and 8 or 9 more.
		if launches < 14 || launches > 17 {
			t.Errorf("%d launches in ten minutes, want about 16", launches)
		}
		seen, change := w.turn(1)
		if !strings.HasPrefix(seen.Trouble, "workers failed 1") || !strings.Contains(seen.Trouble, "ocelli-worker-1 crashed (exit status 2); next start in ") {
			t.Errorf("trouble: %s", seen.Trouble)
		}
		diff(t, "held", seen.Trouble, change.Held)
		w.begin = nil
		w.turns(time.Minute, 1)
		w.hand(w1).Leased(1)
		w.hand(w1).Settled(1)
		time.Sleep(time.Second)
		if seen, _ := w.turn(1); seen.Trouble != "" || seen.Idle != 1 {
			t.Errorf("after a worker has finished an image: %d idle, trouble %q", seen.Idle, seen.Trouble)
		}
	})
}

func TestTroubleIsForgottenWhenNobodyIsMissing(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(15*time.Second, 2)
		for range 40 { // a third cannot be had
			w.crew.Look(t.Context())
			w.faulty.FailNext(false)
			w.crew.Resize(t.Context(), 3)
			w.faulty.Heal()
			time.Sleep(5 * time.Second)
		}
		if trouble := w.crew.Snapshot().Trouble; !strings.Contains(trouble, "ocelli-worker-3 could not be started") {
			t.Errorf("while it fails, trouble: %q", trouble)
		}
		w.turns(5*time.Minute, 2) // and is wanted no more
		if trouble := w.crew.Snapshot().Trouble; trouble != "" {
			t.Errorf("five minutes later, trouble: %s", trouble)
		}
	})
}

// Each worker fails only when its time to get ready has passed, and that is no time in which nothing fails.
func TestSlowFailuresAreOneRow(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{StartDeadline: 5 * time.Minute}, func(t *testing.T, w *world) {
		w.begin = func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }
		w.turns(time.Hour, 1)
		if trouble := w.crew.Snapshot().Trouble; !strings.HasPrefix(trouble, "workers failed 1") {
			t.Errorf("after an hour, trouble: %q", trouble)
		}
	})
}

func TestHealthyNeighbourDoesNotEndACrashLoop(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(15*time.Second, 1)
		w.hand(w1).Leased(1)
		w.hand(w1).Settled(1)
		w.begin = func(context.Context, string) error { return errors.New("exit status 2") }
		// At once, then after 1, 2, 4, 8, 16 and 32 s.
		if n := len(w.turns(time.Minute, 2).Launched); n < 6 || n > 7 {
			t.Errorf("%d launches in a minute, want 6 or 7", n)
		}
	})
}

func TestWorkersThatEndAtOnceAreHeldBack(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		for range 2 {
			w.turns(2*time.Second, 1)
			w.hand(w1).end <- nil
		}
		_, change := w.turn(1)
		want := "workers failed 2 times in 2s; the last: ocelli-worker-1 ended by itself (exit status 0); next start in 1s"
		diff(t, "change", fleet.Change{Held: want}, change)
	})
}

// TestExitThatIsToldEarly: List may name a worker a little longer than it lives.
func TestExitThatIsToldEarly(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		exits := make(chan fleet.Exit, 1)
		w.crew = fleet.NewCrew(w.mem, w.roster, quiet, fleet.CrewConfig{Exits: exits})
		for id := range 2 {
			w.turns(2*time.Second, 1)
			exits <- fleet.Exit{Name: w1, ID: strconv.Itoa(id + 1), How: "exit status 9", Said: "out of luck"}
			w.turn(1)
			w.crash(w1)
		}
		seen, _ := w.turn(1)
		if !strings.Contains(seen.Trouble, "(exit status 9: out of luck)") {
			t.Errorf("trouble: %s", seen.Trouble)
		}
	})
}

// TestWorkerThatWasToldToGoByAnother: somebody has sent it SIGTERM by hand.
func TestWorkerThatWasToldToGoByAnother(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 1)
		w.hand(w1).Leased(1)
		if err := w.mem.Drain(t.Context(), w1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		_, change := w.turn(1)
		diff(t, "change", fleet.Change{Launched: []string{w2}}, change)
		diff(t, "states", map[string]fleet.State{w1: fleet.Draining, w2: fleet.Idle}, w.states())
	})
}

func TestCrashesOfOneRoundCountOnce(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		broken := true
		w.begin = func(context.Context, string) error {
			if broken {
				return errors.New("exit status 2")
			}
			return nil
		}
		w.turn(19)
		broken = false
		_, change := w.turn(19)
		if len(change.Launched) != 19 || change.Held != "" {
			t.Errorf("after one round of crashes %d were launched, held: %q; want all", len(change.Launched), change.Held)
		}
	})
}

func TestKilledWorkersAreReplacedAtOnce(t *testing.T) {
	inWorld(t, 100*time.Millisecond, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 2)
		for range 5 {
			w.hand(w1).Leased(2)
			w.hand(w1).Settled(1)
			w.turns(2*time.Second, 2)
			w.crash(w1)
			_, change := w.turn(2)
			diff(t, "change", fleet.Change{Launched: []string{w1}}, change)
			diff(t, "states", map[string]fleet.State{w1: fleet.Starting, w2: fleet.Idle}, w.states())
			time.Sleep(time.Second)
		}
	})
}

// TestReportOfAnEarlierLife: the roster remembers a worker for some seconds after its crash.
func TestReportOfAnEarlierLife(t *testing.T) {
	inWorld(t, 3*time.Second, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(5*time.Second, 1)
		w.hand(w1).mute()
		synctest.Wait()
		// Its last word is followed by one that was under way.
		body := `{"name":"ocelli-worker-1","pid":7,"started":"2026-01-01T00:00:00Z","state":"busy"}`
		if err := w.bus.Publish(t.Context(), fleet.Topic, []byte(body)); err != nil {
			t.Fatal(err)
		}
		w.crash(w1)
		w.turn(1)
		time.Sleep(time.Second)
		diff(t, "states", map[string]fleet.State{w1: fleet.Starting}, w.states())
	})
}

func TestMaxLife(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{MaxLife: 5 * time.Minute}, func(t *testing.T, w *world) {
		change := w.turns(5*time.Minute, 1)
		diff(t, "within it", fleet.Change{Launched: []string{w1}}, change)
		_, change = w.turn(1)
		diff(t, "after it", fleet.Change{Drained: []string{w1}, Launched: []string{w2}}, change)
	})
}

func TestWorkerThatLeavesByItself(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(15*time.Second, 1)
		w.hand(w1).end <- nil
		_, change := w.turn(1)
		diff(t, "change", fleet.Change{Launched: []string{w1}}, change)
	})
}

func TestLauncherThatFails(t *testing.T) {
	for _, happens := range []bool{false, true} {
		inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
			w.faulty.FailNext(true) // the List of Look
			if _, err := w.crew.Look(t.Context()); !errors.Is(err, fleettest.ErrFault) {
				t.Errorf("Look: %v", err)
			}
			w.faulty.FailNext(happens)
			change, err := w.crew.Resize(t.Context(), 2)
			if !errors.Is(err, fleettest.ErrFault) || len(change.Launched) != 0 {
				t.Errorf("Resize: %+v, %v; want the fault", change, err)
			}
			if seen := w.crew.Snapshot(); len(seen.Workers) != 0 {
				t.Errorf("the ledger has %v", seen.Workers)
			}
			w.turns(2*time.Second, 2)
			diff(t, "states", map[string]fleet.State{w1: fleet.Idle, w2: fleet.Idle}, w.states())
		})
	}
}

// TestAnyFaults: whatever fails in whatever way, the crew gets to the size that is wanted, and never beyond it.
func TestAnyFaults(t *testing.T) {
	for seed := range uint64(6) {
		inWorld(t, 300*time.Millisecond, fleet.CrewConfig{}, func(t *testing.T, w *world) {
			rng := rand.New(rand.NewPCG(seed, 0))
			want := 0
			for range 80 {
				if rng.IntN(5) == 0 {
					want = rng.IntN(6)
				}
				for range rng.IntN(3) {
					w.faulty.FailNext(rng.IntN(2) == 0)
				}
				w.crew.Look(t.Context())
				w.crew.Resize(t.Context(), want)
				synctest.Wait()
				seen := w.crew.Snapshot()
				if staying := seen.Running() + len(seen.Starting); staying > 5 {
					t.Fatalf("seed %d: %d workers stay, and no more than 5 were ever wanted", seed, staying)
				}
				time.Sleep(time.Second)
			}
			w.faulty.Heal()
			w.turns(2*time.Minute, 3)
			if seen := w.crew.Snapshot(); seen.Idle != 3 || len(seen.Workers) != 3 {
				t.Errorf("seed %d: in the end the workers are %v, want 3 idle ones", seed, seen.Workers)
			}
			if all, _ := w.mem.List(t.Context()); len(all) != 3 {
				t.Errorf("seed %d: %d workers are alive, want 3", seed, len(all))
			}
		})
	}
}

func TestEnd(t *testing.T) {
	t.Run("lets workers finish", func(t *testing.T) {
		inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
			w.turns(2*time.Second, 2)
			w.hand(w2).Leased(1)
			time.AfterFunc(20*time.Second, func() { w.hand(w2).Settled(1) })
			began := time.Now()
			if err := w.crew.End(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began).Round(time.Second); took != 20*time.Second {
				t.Errorf("it took %v, want 20s", took)
			}
		})
	})
	t.Run("ends those that do not", func(t *testing.T) {
		inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
			w.turns(2*time.Second, 2)
			w.hand(w2).Leased(1)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := w.crew.End(ctx); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if all, _ := w.mem.List(t.Context()); len(all) != 0 {
				t.Errorf("alive: %v", all)
			}
		})
	})
}

func TestPIDIsTheIDUntilTheFirstReport(t *testing.T) {
	inWorld(t, time.Minute, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turn(1)
		diff(t, "workers", []fleet.Worker{{Name: w1, PID: 1, State: fleet.Starting}}, w.crew.Snapshot().Workers)
	})
}

func TestRateIsRemembered(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 1)
		for range 40 {
			w.hand(w1).Leased(1)
			time.Sleep(250 * time.Millisecond)
			w.hand(w1).Settled(1)
		}
		w.turns(2*time.Second, 1)
		w.turns(10*time.Second, 0)
		seen := w.crew.Snapshot()
		if len(seen.Workers) != 0 || seen.Rate < 3.9 || seen.Rate > 4.1 {
			t.Errorf("%d workers and a rate of %v; want none and 4 images a second", len(seen.Workers), seen.Rate)
		}
	})
}

func TestWorkersAreListedByNumber(t *testing.T) {
	inWorld(t, 0, fleet.CrewConfig{}, func(t *testing.T, w *world) {
		w.turns(2*time.Second, 12)
		var fromCrew, fromRoster []string
		for _, worker := range w.crew.Snapshot().Workers {
			fromCrew = append(fromCrew, worker.Name)
		}
		for _, worker := range w.roster.Workers() {
			fromRoster = append(fromRoster, worker.Name)
		}
		if len(fromCrew) != 12 || fromCrew[1] != w2 || fromCrew[11] != "ocelli-worker-12" || !slices.Equal(fromCrew, fromRoster) {
			t.Errorf("the crew lists %q, the roster %q", fromCrew, fromRoster)
		}
	})
}

func TestAChangeInWords(t *testing.T) {
	for want, c := range map[string]fleet.Change{
		"":                 {Held: "the account may have no more"},
		"started w-1, w-2": {Launched: []string{"w-1", "w-2"}},
		"started w-3; told to end w-1; ended by force w-2": {Launched: []string{"w-3"}, Drained: []string{"w-1"}, Ended: []string{"w-2"}},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
