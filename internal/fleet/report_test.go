package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/notify"
)

// heard returns a reporter that runs, and a function that returns what it has published since the last call.
func heard(t *testing.T) (*fleet.Reporter, func() []fleet.Report, context.CancelFunc) {
	t.Helper()
	b := notify.NewMem()
	var mu sync.Mutex
	var all []fleet.Report
	unsubscribe, err := b.Subscribe(t.Context(), fleet.Topic, func(body []byte) {
		var r fleet.Report
		if err := json.Unmarshal(body, &r); err != nil {
			t.Errorf("a report cannot be read: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unsubscribe)
	ctx, cancel := context.WithCancel(t.Context())
	r := fleet.NewReporter(b, quiet, w1, "v1")
	go r.Run(ctx)
	return r, func() []fleet.Report {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		got := all
		all = nil
		return got
	}, cancel
}

func TestReporterTellsEachChangeOfState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, published, stop := heard(t)
		began := time.Now()
		steps := []struct {
			do   func()
			want fleet.State
		}{
			{func() {}, fleet.Starting},
			{func() { r.Ready(ocelli.Model{Name: "efficient"}) }, fleet.Idle},
			{func() { r.Leased(2) }, fleet.Busy},
			{func() { r.GaveBack(1); r.Settled(1) }, fleet.Idle},
			{func() { r.Drain(); r.Leased(1) }, fleet.Draining},
			{stop, fleet.Gone},
		}
		for _, step := range steps {
			since := time.Now()
			step.do()
			time.Sleep(100 * time.Millisecond)
			got := published()
			if len(got) != 1 || got[0].State != step.want || !got[0].Since.Equal(since) {
				t.Fatalf("published %+v, want one report of %s since %v", got, step.want, since)
			}
			if got[0].Name != w1 || got[0].PID != os.Getpid() || !got[0].Started.Equal(began) || got[0].Version != "v1" {
				t.Errorf("the worker is not described: %+v", got[0])
			}
			if step.want == fleet.Busy && (got[0].Holding != 2 || got[0].Model == nil || got[0].Model.Name != "efficient") {
				t.Errorf("the work is not described: %+v", got[0])
			}
		}
	})
}

func TestReporterTellsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, published, _ := heard(t)
		r.Ready(ocelli.Model{Name: "m"})
		time.Sleep(time.Minute + time.Second/2)
		if n := len(published()); n < 60 || n > 62 {
			t.Errorf("%d reports in a minute without change", n)
		}
		for range 6000 {
			r.Leased(1)
			time.Sleep(5 * time.Millisecond)
			r.Settled(1)
			time.Sleep(5 * time.Millisecond)
		}
		if n := len(published()); n > 60*20+1 {
			t.Errorf("%d reports in a minute of a hundred images a second; want at most 20 a second", n)
		}
	})
}

func TestReporterMeasuresBusyTimeAndRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, published, _ := heard(t)
		r.Ready(ocelli.Model{Name: "m"})
		time.Sleep(time.Hour) // idle
		r.Leased(2)
		time.Sleep(8 * time.Second)
		if got := r.Report(); got.BusyFor != 8*time.Second || got.Rate != 0 {
			t.Errorf("busy for %v at rate %v, want 8s and no rate before the first image is done", got.BusyFor, got.Rate)
		}
		time.Sleep(4 * time.Second)
		r.Settled(2)
		time.Sleep(time.Hour)
		check := func(busy time.Duration, done int64, rate float64) {
			t.Helper()
			all := published()
			got := all[len(all)-1]
			if got.BusyFor != busy || got.Done != done || math.Abs(got.Rate-rate) > 0.05*rate {
				t.Errorf("busy for %v, %d done, %v images a second; want %v, %d, %v", got.BusyFor, got.Done, got.Rate, busy, done, rate)
			}
		}
		check(12*time.Second, 2, 2.0/12)
		for range 1000 { // after five times the memory of the rate only the new one counts
			r.Leased(1)
			time.Sleep(150 * time.Millisecond)
			r.Settled(1)
		}
		time.Sleep(time.Minute)
		check(162*time.Second, 1002, 1000.0/150)
	})
}

// brokenBus fails.
type brokenBus struct{ notify.Bus }

func (*brokenBus) Publish(context.Context, string, []byte) error { return errors.New("no connection") }

func TestReporterSaysOnceThatItCannotReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		r := fleet.NewReporter(&brokenBus{}, slog.New(slog.NewTextHandler(&log, nil)), w1, "v1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := strings.Count(log.String(), "no connection"); n != 1 {
			t.Errorf("the log has it %d times:\n%.500s", n, log.String())
		}
	})
}

func inRoster(t *testing.T, test func(t *testing.T, r *fleet.Roster, say func(bodies ...string))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := notify.NewMem()
		r := fleet.NewRoster(b)
		go r.Run(t.Context())
		synctest.Wait()
		test(t, r, func(bodies ...string) {
			for _, body := range bodies {
				if err := b.Publish(t.Context(), fleet.Topic, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		})
	})
}

func TestRosterForgetsTheSilent(t *testing.T) {
	inRoster(t, func(t *testing.T, r *fleet.Roster, say func(...string)) {
		say(`{"name":"a","pid":1,"state":"idle"}`)
		time.Sleep(4 * time.Second)
		say(`{"name":"b","pid":2,"state":"busy","holding":3}`)
		diff(t, "workers", []fleet.Worker{{Name: "a", PID: 1, State: fleet.Idle}, {Name: "b", PID: 2, State: fleet.Busy}}, r.Workers())
		time.Sleep(2 * time.Second)
		diff(t, "workers later", []fleet.Worker{{Name: "b", PID: 2, State: fleet.Busy}}, r.Workers())
		say(`{"name":"b","pid":99,"state":"gone"}`)
		diff(t, "workers when an earlier b has gone", []fleet.Worker{{Name: "b", PID: 2, State: fleet.Busy}}, r.Workers())
		say(`{"name":"b","pid":2,"state":"gone"}`)
		if got := r.Workers(); len(got) != 0 {
			t.Errorf("when b has gone: %v", got)
		}
	})
}

func TestRosterDropsWhatIsNoReport(t *testing.T) {
	inRoster(t, func(t *testing.T, r *fleet.Roster, say func(...string)) {
		for _, body := range []string{
			"", "null", "[]", "{", `{"name":"a"}`, `{"name":"a","state":"dancing"}`, `{"name":"../a","state":"idle"}`,
			`{"name":"","state":"idle"}`, `{"name":"a","state":"idle","holding":-1}`, `{"name":"a","state":"idle","rate":-1}`,
			`{"name":"a","state":"idle","rate":1e999}`, `{"name":"a","state":"idle","done":-9}`,
		} {
			say(body)
			if got := r.Workers(); len(got) != 0 {
				t.Errorf("after %q: %v", body, got)
			}
		}
	})
}

func TestRosterIsBounded(t *testing.T) {
	inRoster(t, func(t *testing.T, r *fleet.Roster, say func(...string)) {
		var all []string
		for i := range 20_010 {
			all = append(all, fmt.Sprintf(`{"name":"w-%d","state":"idle"}`, i))
		}
		for some := range slices.Chunk(all, 1000) { // no more than the bus keeps for a slow subscriber
			say(some...)
		}
		if n := len(r.Reports()); n != 20_000 {
			t.Errorf("%d workers are kept, want 20000", n)
		}
		time.Sleep(6 * time.Second)
		say(`{"name":"late","state":"idle"}`)
		diff(t, "once the others are silent", []fleet.Worker{{Name: "late", State: fleet.Idle}}, r.Workers())
	})
}
