package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ocelli/ocelli"
)

// Topic is the topic of [notify.Bus] on which workers publish their reports.
const Topic = "workers"

// State is what a worker is doing.
type State string

// The states of a worker.
const (
	Starting State = "starting" // asked for, or loading its model
	Idle     State = "idle"     // ready, with no image in hand
	Busy     State = "busy"     // at work on at least one image
	Draining State = "draining" // finishes what it holds, and ends
	Silent   State = "silent"   // was ready and cannot be heard any more; no worker says it of itself
	Gone     State = "gone"     // a worker's last word; never in a list of workers
)

// Report is what a worker says of itself, once a second and whenever its state changes.
type Report struct {
	Name    string        `json:"name"`
	PID     int           `json:"pid"`
	Started time.Time     `json:"started"` // by the worker's clock: with the PID it tells two lives of one name apart
	State   State         `json:"state"`
	Since   time.Time     `json:"since"`   // when the state began, by the worker's clock
	Holding int           `json:"holding"` // images leased and not settled
	Done    int64         `json:"done"`    // images that got their result since the start
	BusyFor time.Duration `json:"busy_ns"` // time since the start with at least one image in hand
	// Rate is how many images a second the worker finishes while it is busy, as measured over about the last half
	// minute of being busy; 0 until it is known.
	Rate    float64       `json:"rate"`
	Model   *ocelli.Model `json:"model"` // nil until it is loaded
	Version string        `json:"version"`
}

// sameLife reports whether both come from one process.
func (r Report) sameLife(o Report) bool { return r.PID == o.PID && r.Started.Equal(o.Started) }

// Worker is one worker as /v1/status shows it.
type Worker struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"` // 0 until it is known
	State State  `json:"state"`
}

// parseReport reads what came over the bus; anybody who reaches the bus can have written it.
func parseReport(body []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(body, &r); err != nil {
		return Report{}, fmt.Errorf("read a worker's report: %w", err)
	}
	if err := CheckName(r.Name); err != nil {
		return Report{}, fmt.Errorf("read a worker's report: %w", err)
	}
	switch r.State {
	case Starting, Idle, Busy, Draining, Gone:
	default:
		return Report{}, fmt.Errorf("read the report of worker %s: no such state: %.20q", r.Name, r.State)
	}
	if r.Holding < 0 || r.Done < 0 || r.BusyFor < 0 || r.Rate < 0 {
		return Report{}, errors.New("read the report of worker " + r.Name + ": a count below zero")
	}
	return r, nil
}
