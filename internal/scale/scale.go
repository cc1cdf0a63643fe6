// Package scale decides how many workers the backlog is worth, and says why.
//
// [Decide] is a pure function: it has no clock, no log and no memory. What it must remember from one decision to
// the next it returns in [Decision.Next], and its caller hands that back in [Seen.Last]. So the same function runs
// in the service, in the tests and in the simulator, and a decision that was written down can be repeated.
//
// [Predict] says with the same numbers when work will be done. [ServiceRate], [StartupTimes], [Arrivals] and
// [Calibration] learn those numbers from what is observed.
//
// Lengths of time are float64 seconds, as everything here divides and multiplies them; moments are [time.Time].
package scale

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
)

// The policies that [Decide] knows.
const (
	Breakeven = "breakeven" // start a worker when the waiting it saves is worth more than it costs
	Backlog   = "backlog"   // one worker for so many images, as the reference system did
)

// Policy is what an operator chooses. [Local] and [Cloud] return good ones.
type Policy struct {
	Name string `json:"name"` // Breakeven or Backlog
	Min  int    `json:"min"`  // workers kept even when there is no work
	Max  int    `json:"max"`  // workers at most: a promise about money, so it wins over Min

	// WaitWorth is how many worker-seconds one second of one image's waiting is worth. With 0.3 a worker is
	// started for a minute if that saves 200 images a second each.
	WaitWorth float64 `json:"wait_worth"`

	// ImagesPerWorker is what [Backlog] divides by.
	ImagesPerWorker int `json:"images_per_worker,omitempty"`

	Rate    float64 `json:"rate_per_s"` // images per second of one worker, believed until it is measured
	Startup float64 `json:"startup_s"`  // start-up time of a worker, believed until it is measured

	// Hold is how long fewer workers must have been enough before any is ended, when no stream of images arrives.
	// It is never taken shorter than a start-up: to end a worker and start it again costs that much
	// (ski rental; Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching", 1988).
	Hold float64 `json:"hold_s"`
	// StreamHold is the same while images keep arriving. It is long, since a steady stream with some noise
	// must not make the fleet breathe.
	StreamHold float64 `json:"stream_hold_s"`

	Price       float64 `json:"usd_per_hour"`    // of one worker; told to people, it decides nothing
	BillUnit    float64 `json:"bill_unit_s"`     // a worker's time is billed in such units; 0 is exact
	BillAtLeast float64 `json:"bill_at_least_s"` // and for at least so long; 60 s on EC2
}

// Local is the policy for workers that are processes of this machine: they start in a third of a second and
// cost nothing but the cores they share, so waiting is worth a lot, and max is the number of workers that
// still adds speed.
func Local(max int) Policy {
	return Policy{Name: Breakeven, Min: min(1, max), Max: max, WaitWorth: 10, ImagesPerWorker: 5,
		Rate: 20, Startup: 0.3, Hold: 10, StreamHold: 120}
}

// Cloud is the policy for workers that are rented machines: 26 s to start
// (brevdev/ec2-coldboot-research, 2026: 25.8 s for an m7i.large), billed by the second and for a minute at
// least (https://aws.amazon.com/ec2/pricing/on-demand/).
func Cloud(max int) Policy {
	return Policy{Name: Breakeven, Max: max, WaitWorth: 0.3, ImagesPerWorker: 5,
		Rate: 20, Startup: 26, Hold: 10, StreamHold: 120,
		Price: 0.0425, BillUnit: 1, BillAtLeast: 60}
}

// prepaid counts the workers, by when they were asked for, whose paid time will last longer than a start-up, which takes startup seconds
// or is not measured.
func (p Policy) prepaid(now time.Time, launched []time.Time, startup float64) int {
	n := 0
	for _, at := range launched {
		age := now.Sub(at).Seconds()
		left := p.BillAtLeast - age
		if p.BillUnit > 0 && left <= 0 {
			left = p.BillUnit - math.Mod(age, p.BillUnit)
		}
		if left > firstPositive(startup, p.Startup) {
			n++
		}
	}
	return n
}

// Validate says everything that is wrong with the policy.
func (p Policy) Validate() error {
	var errs []error
	say := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	say(p.Name != Breakeven && p.Name != Backlog, "the scaling policy %q is not known: choose %s or %s", p.Name, Breakeven, Backlog)
	say(p.Min < 0, "the least number of workers is %d: give 0 or more", p.Min)
	say(p.Max < 1, "the largest number of workers is %d: give 1 or more", p.Max)
	say(p.Min > p.Max, "at least %d workers and at most %d contradict each other", p.Min, p.Max)
	say(p.Name == Backlog && p.ImagesPerWorker < 1, "the policy %s needs 1 or more images per worker, not %d", Backlog, p.ImagesPerWorker)
	say(p.Name == Breakeven && !positive(p.WaitWorth), "the worth of a second of waiting is %v worker-seconds: give more than 0", p.WaitWorth)
	say(!positive(p.Rate), "a worker's rate of %v images per second is not possible: give more than 0", p.Rate)
	for _, s := range []struct {
		name  string
		value float64
	}{{"start-up time", p.Startup}, {"hold", p.Hold}, {"hold of a stream", p.StreamHold},
		{"price", p.Price}, {"billing unit", p.BillUnit}, {"least time billed", p.BillAtLeast}} {
		say(!(s.value >= 0) || math.IsInf(s.value, 0), "the %s is %v: give 0 or more", s.name, s.value)
	}
	return errors.Join(errs...)
}

// Seen is what is known at the moment of a decision. Any number in it may be wrong or missing: Decide takes
// what is not possible (negative, NaN, infinite) as not known, and so shows it in [Decision.Seen].
type Seen struct {
	Now     time.Time `json:"now"`
	Counted time.Time `json:"counted,omitzero"` // when the queue was counted; zero is now

	Ready   int64   `json:"ready"`        // images that wait for a worker
	Leased  int64   `json:"leased"`       // images that workers hold, and those that wait out a delay
	Oldest  float64 `json:"oldest_age_s"` // age of the oldest of both; 0 when there is none or it is not known
	Exact   bool    `json:"exact"`        // false where the counts may lag by a minute
	Arrived int64   `json:"arrived"`      // images sent since the queue was made; 0 is not known: lets a log be replayed

	Arrival float64 `json:"arrival_per_s"` // images per second that keep arriving, as [Arrivals] measures it
	Rate    float64 `json:"rate_per_s"`    // images per second of one busy worker; 0 is not measured yet
	Startup Startup `json:"startup_s"`     // measured start-up time
	Stretch float64 `json:"stretch"`       // [Calibration.Stretch]; 0 is not known yet

	Busy      int        `json:"busy"`                // workers that hold a lease
	Idle      int        `json:"idle"`                // workers alive that hold none; draining ones are in neither
	Finishing int        `json:"finishing,omitempty"` // draining ones that can be heard: they may hold some of what is leased
	Prepaid   int        `json:"prepaid,omitempty"`   // of the idle ones: those whose paid time will last longer than a start-up
	Starting  []Starting `json:"starting,omitempty"`  // workers asked for and not yet alive

	Last Memory `json:"last"` // Next of the decision before; the zero value at first
}

// Startup is how long a worker takes from being asked for to its first lease. Zero is not measured yet.
type Startup struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
}

// Starting is a number of workers that were asked for at one time.
type Starting struct {
	Count int       `json:"count"`
	Asked time.Time `json:"asked"`
}

// Memory is what one decision leaves for the next.
type Memory struct {
	Want    int       `json:"want"`
	Changed time.Time `json:"changed,omitzero"` // when Want last changed

	Empty      int       `json:"empty,omitempty"`        // how many times in a row the queue was counted empty
	EmptySince time.Time `json:"empty_since,omitzero"`   // the first of these counts
	EmptyCount time.Time `json:"empty_counted,omitzero"` // the last of these counts: one count confirms once

	// Needed is the most that was needed of late: when so many were needed for the last time, fewer further on.
	Needed []Level `json:"needed,omitempty"`
}

// Level is a number of workers and the last moment at which so many were needed.
type Level struct {
	Need int       `json:"need"`
	At   time.Time `json:"at"`
}

// Decision is how many workers there should be, and everything needed to understand or repeat it.
type Decision struct {
	Policy Policy `json:"policy"`
	Seen   Seen   `json:"seen"`
	Want   int    `json:"want"`   // workers, alive and starting, that there should be
	Reason string `json:"reason"` // one English sentence

	// What Want is predicted to lead to, and what one worker less or more would: nil where that is out of bounds.
	Outcome Outcome  `json:"outcome"`
	Fewer   *Outcome `json:"fewer"`
	More    *Outcome `json:"more"`

	Next Memory `json:"next"` // for Seen.Last of the next decision

	Done *fleet.Change `json:"done,omitempty"` // what the loop then did; nil as Decide returns it

	Changed string `json:"settings_changed,omitempty"` // what an operator has changed just before, in one sentence
}

// Change is how many workers are to be started (positive) or ended (negative).
func (d Decision) Change() int { return d.Want - d.Seen.staff() }

// Outcome is what a number of workers is predicted to lead to.
type Outcome struct {
	Workers       int     `json:"workers"`
	Finish        float64 `json:"finish_s"`       // until the backlog is gone; -1 is never
	WorkerSeconds float64 `json:"worker_seconds"` // billed from now until then; -1 is without end
	USD           float64 `json:"usd"`            // the same in money
}

// staff counts the workers that exist or were asked for.
func (s Seen) staff() int {
	n := s.Busy + s.Idle
	for _, c := range s.Starting {
		n += max(0, c.Count)
	}
	return n
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 1) }
