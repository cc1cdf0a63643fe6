package fleet

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Snapshot is what a crew knows of its workers at one moment.
type Snapshot struct {
	At        time.Time
	Workers   []Worker    // all of them, by number
	Busy      int         // ready, with images in hand
	Idle      int         // ready, with none
	Starting  []time.Time // of each worker that is not ready yet, when it was asked for; oldest first
	Resting   []time.Time // of each idle one, when it was asked for; oldest first
	Draining  int         // told to go and not yet gone
	Finishing int         // of the draining ones those that can be heard: they finish what they hold
	Silent    int         // ready once, and not heard of lately; they may still cost money
	Holding   int         // images in the hands of all of them
	// StartUp is how long a worker takes from its launch until it is ready, measured: the median of the latest, and
	// what nine of ten need at most in StartUp90. Both are 0 until the first was measured.
	StartUp   time.Duration
	StartUp90 time.Duration
	Rate      float64 // images a second that one busy worker finishes, as last heard; 0 until it was measured
	Trouble   string  // one sentence while workers fail again and again, or one is silent, else ""
}

// Running is the number of workers that are ready and stay.
func (s Snapshot) Running() int { return s.Busy + s.Idle }

// Snapshot returns the ledger as it is, without asking anybody.
func (c *Crew) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snapshot(time.Now())
}

func (c *Crew) snapshot(now time.Time) Snapshot {
	s := Snapshot{
		At:        now,
		Workers:   make([]Worker, 0, len(c.ledger)),
		StartUp:   c.startUp.quantile(0.5),
		StartUp90: c.startUp.quantile(0.9),
		Rate:      c.rate,
		Trouble:   c.backoff.sentence(now),
	}
	for _, m := range c.inOrder() {
		state := m.state()
		switch state {
		case Busy:
			s.Busy++
		case Idle:
			s.Idle++
			s.Resting = append(s.Resting, m.Launched)
		case Starting:
			s.Starting = append(s.Starting, m.Launched)
		case Draining:
			s.Draining++
			if now.Sub(m.heard) <= silence {
				s.Finishing++
			}
		case Silent:
			s.Silent++
			if s.Trouble == "" {
				s.Trouble = fmt.Sprintf("%s has said nothing for %s: it is not reckoned with, and ended if it stays silent", m.Name, seconds(now.Sub(m.heard)))
			}
		}
		s.Holding += m.report.Holding
		s.Workers = append(s.Workers, Worker{Name: m.Name, PID: m.pid(), State: state})
	}
	slices.SortFunc(s.Starting, time.Time.Compare)
	slices.SortFunc(s.Resting, time.Time.Compare)
	return s
}

func (m *member) state() State {
	switch {
	case !m.leaving.IsZero():
		return Draining
	case m.ready.IsZero():
		return Starting
	case m.silent:
		return Silent
	default:
		return m.report.State
	}
}

// pid is what the worker says; before it has said anything it is its id, where that is a number, as it is for a
// process of this machine.
func (m *member) pid() int {
	if m.report.PID != 0 {
		return m.report.PID
	}
	pid, err := strconv.Atoi(m.ID)
	if err != nil {
		return 0
	}
	return pid
}
