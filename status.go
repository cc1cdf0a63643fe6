package ocelli

import "time"

// Status is what a service tells about itself.
type Status struct {
	Ready     int64    `json:"ready"`             // images that wait for a worker
	Leased    int64    `json:"leased"`            // images that a worker holds
	OldestAge float64  `json:"oldest_age_s"`      // seconds that the oldest of both has waited
	Rate      float64  `json:"rate_images_per_s"` // images that ended, over the last ten seconds
	Workers   []Worker `json:"workers"`           // in the order of their names
	Wanted    int      `json:"wanted"`            // workers that the backlog is worth
	Max       int      `json:"max"`               // workers that there may be
	Reason    string   `json:"reason"`            // why so many are wanted, in one sentence
	ETA       ETA      `json:"eta_calibration"`   // how well the times told for jobs came true
	Model     *Model   `json:"model"`             // nil until a worker has told which model it runs
	Version   string   `json:"version"`           // of the service
	Problem   string   `json:"problem,omitempty"` // what keeps the service from working, and what to do
}

// ETA tells how well forecasts came true.
type ETA struct {
	Jobs     int     `json:"jobs"`              // of late that were checked
	Within20 float64 `json:"within_20_percent"` // the share of them that took within 20 % of what was told
}

// WorkerState is what a worker is doing.
type WorkerState string

// The states of a worker.
const (
	WorkerStarting WorkerState = "starting" // asked for, and not heard of yet
	WorkerBusy     WorkerState = "busy"     // it holds at least one image
	WorkerIdle     WorkerState = "idle"
	WorkerDraining WorkerState = "draining" // it finishes what it holds, and ends
	WorkerSilent   WorkerState = "silent"   // it was ready, and cannot be heard any more
)

// Worker is one worker as people see it. All but its name is as it said last.
type Worker struct {
	Name    string      `json:"name"`
	PID     int         `json:"pid"` // 0 where it is not a process of this machine
	State   WorkerState `json:"state"`
	Since   time.Time   `json:"since,omitzero"`    // when the state began, by the worker's clock
	Holding int         `json:"holding"`           // images in its hands
	Done    int64       `json:"done"`              // images that got their result from it
	Rate    float64     `json:"rate_images_per_s"` // while it is busy; 0 until it was measured
}
