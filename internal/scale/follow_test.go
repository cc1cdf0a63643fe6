package scale

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
)

// lonely is a crew that never gets a worker.
type lonely struct{ wants chan int }

func (c lonely) Look(context.Context) (fleet.Snapshot, error) {
	return fleet.Snapshot{Rate: 10, StartUp: time.Second, StartUp90: 2 * time.Second}, nil
}

func (c lonely) Resize(_ context.Context, want int) (fleet.Change, error) {
	select {
	case c.wants <- want:
	default:
	}
	return fleet.Change{}, nil
}

// A web node of another process shows what the loop decides, wakes it, and has the same forecast.
func TestAFollowerKnowsWhatTheLoopDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		bus, q := notify.NewMem(), queue.NewMem(time.Minute, 1000)
		crew := lonely{make(chan int, 1000)}
		loop := NewLoop(Local(4), q, crew, nil, slog.New(slog.DiscardHandler))
		follower := NewFollower(bus)
		ended := make(chan error, 3)
		for _, run := range []func(context.Context) error{loop.Run, NewTeller(bus, loop).Run, follower.Run} {
			go func() { ended <- run(ctx) }()
		}
		time.Sleep(2*time.Second + 500*time.Millisecond)
		before, fresh := follower.Last()
		if !fresh || before.Decision.Seen.Ready != 0 {
			t.Errorf("with no work: %+v, fresh %t", before.Decision, fresh)
		}

		for i := range 100 {
			if err := q.Send(ctx, queue.Message{ID: fmt.Sprint(i), Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		for len(crew.wants) > 0 {
			<-crew.wants
		}
		woken := time.Now()
		follower.Wake(ctx)
		if want := <-crew.wants; want <= before.Decision.Want || time.Since(woken) > 100*time.Millisecond {
			t.Errorf("%d workers wanted %v after the wake-up", want, time.Since(woken))
		}
		time.Sleep(300 * time.Millisecond)
		o, _ := follower.Last()
		d, _ := loop.Last()
		if o.Decision.Want <= before.Decision.Want || o.Decision.Want != d.Want || o.Decision.Reason != d.Reason {
			t.Errorf("the follower has heard of %d workers: %q, the loop wants %d: %q", o.Decision.Want, o.Decision.Reason, d.Want, d.Reason)
		}
		eta, p90, known := follower.Forecast(100)
		if want, _, _ := loop.Forecast(100); !known || eta != want || eta <= 0 || p90 < eta {
			t.Errorf("forecast %v, %v, %t; the loop's is %v", eta, p90, known, want)
		}

		cancel()
		if err := errors.Join(<-ended, <-ended, <-ended); err != nil {
			t.Error(err)
		}
		time.Sleep(outlookLife)
		if _, fresh := follower.Last(); fresh {
			t.Error("a loop that is gone is still believed")
		}
		if _, _, known := follower.Forecast(100); known {
			t.Error("a forecast of a loop that is gone")
		}
	})
}

// launching is a crew that has launched some workers at each turn so far, and none is ready yet.
type launching struct {
	each  int
	asked []time.Time
}

func (c *launching) Look(context.Context) (fleet.Snapshot, error) {
	return fleet.Snapshot{Rate: 10, StartUp: time.Hour, StartUp90: time.Hour, Starting: c.asked}, nil
}

func (c *launching) Resize(context.Context, int) (change fleet.Change, err error) {
	for range c.each {
		time.Sleep(time.Microsecond)
		c.asked = append(c.asked, time.Now())
		change.Launched = append(change.Launched, fmt.Sprintf("ocelli-worker-%d", len(c.asked)))
	}
	return change, nil
}

// However many workers start, what web nodes are told of it fits into a message.
func TestAFollowerHearsOfThousandsOfWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		bus := notify.NewMem()
		loop := NewLoop(Cloud(20_000), queue.NewMem(time.Minute, 10), &launching{each: 4000}, nil, slog.New(slog.DiscardHandler))
		follower := NewFollower(bus)
		ended := make(chan error, 3)
		for _, run := range []func(context.Context) error{loop.Run, NewTeller(bus, loop).Run, follower.Run} {
			go func() { ended <- run(ctx) }()
		}
		time.Sleep(15 * time.Second)
		if o, fresh := follower.Last(); !fresh || o.Decision.Seen.staff() < 10_000 {
			t.Errorf("the follower has heard of %d workers that start, want more than 10,000", o.Decision.Seen.staff())
		}
		cancel()
		if err := errors.Join(<-ended, <-ended, <-ended); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkersThatStartAreToldInFewGroups(t *testing.T) {
	now := time.Now()
	var asked []time.Time
	for i := range 3 {
		asked = append(asked, now.Add(time.Duration(i/2)*time.Millisecond))
	}
	if got := grouped(asked); len(got) != 2 || got[0] != (Starting{2, asked[0]}) || got[1] != (Starting{1, asked[2]}) {
		t.Errorf("of %v these groups were made: %v", asked, got)
	}
	asked = append([]time.Time{now.Add(-24 * time.Hour)}, asked...) // one that never came makes the others no less distinct
	for i := range 1000 {
		asked = append(asked, now.Add(time.Duration(i+2)*300*time.Millisecond))
	}
	got := grouped(asked)
	n := 0
	for i, g := range got {
		if i > 0 && g.Asked.Sub(asked[n]) != 0 {
			t.Errorf("the group %d was asked for at %v, want %v, like its first", i, g.Asked, asked[n])
		}
		n += g.Count
		if late := asked[n-1].Sub(g.Asked); late > 10*time.Second {
			t.Errorf("in the group %d are workers that were asked for %v apart", i, late)
		}
	}
	if n != len(asked) || len(got) > mostGroups {
		t.Errorf("%d workers in %d groups, want %d in at most %d", n, len(got), len(asked), mostGroups)
	}
}

func TestWakeUpsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := notify.NewMem()
		heard := make(chan struct{}, 1000)
		stop, err := bus.Subscribe(t.Context(), wakeTopic, func([]byte) { heard <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		f := NewFollower(bus)
		for range 100 {
			f.Wake(t.Context())
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		stop()
		if n := len(heard); n != 5 {
			t.Errorf("%d wake-ups in a second, want 5", n)
		}
	})
}

func TestAFollowerTakesNoNonsense(t *testing.T) {
	f := NewFollower(notify.NewMem())
	for _, body := range []string{"", "[]", "{}", `{"decision":{"policy":{"name":"none"}}}`} {
		f.hear([]byte(body))
		if _, fresh := f.Last(); fresh {
			t.Errorf("%q was taken for an outlook", body)
		}
	}
}

// Whoever is told to stop at once has not failed.
func TestWhatEndsBeforeItBeginsHasNotFailed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bus := notify.NewMem()
	for name, run := range map[string]func(context.Context) error{
		"a follower": NewFollower(bus).Run, "a teller": NewTeller(bus, nil).Run, "a roster": fleet.NewRoster(bus).Run,
	} {
		if err := run(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
