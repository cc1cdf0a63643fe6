package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/notify"
)

const (
	// silence is how long a worker may say nothing before it is no longer reckoned with.
	silence = 5 * time.Second
	// rosterMax bounds the workers that are listened to.
	rosterMax = 20_000
)

// Roster keeps the latest report of every worker that can be heard on a bus, whoever launched it.
type Roster struct {
	bus notify.Bus

	mu    sync.Mutex
	heard map[string]Heard
}

// Heard is a report and when it came, by this machine's clock.
type Heard struct {
	Report
	At time.Time
}

// NewRoster returns a roster that hears nothing until Run.
func NewRoster(bus notify.Bus) *Roster {
	return &Roster{bus: bus, heard: map[string]Heard{}}
}

// Run listens until ctx ends.
func (r *Roster) Run(ctx context.Context) error {
	stop, err := r.bus.Subscribe(ctx, Topic, r.hear)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it ends before it has begun
		}
		return fmt.Errorf("listen to the workers: %w", err)
	}
	<-ctx.Done()
	stop()
	return nil
}

// hear drops what is no report: nobody could mend it, and a log line for each would be a way to fill the disk.
func (r *Roster) hear(body []byte) {
	report, err := parseReport(body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.heard[report.Name]
	if report.State == Gone {
		if known && report.sameLife(last.Report) {
			delete(r.heard, report.Name)
		}
		return
	}
	if !known && len(r.heard) >= rosterMax {
		r.prune()
		if len(r.heard) >= rosterMax {
			return
		}
	}
	r.heard[report.Name] = Heard{Report: report, At: time.Now()}
}

// Reports returns what was heard in the last five seconds, in the order of the workers' names and numbers.
func (r *Roster) Reports() []Heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prune()
	all := make([]Heard, 0, len(r.heard))
	for _, h := range r.heard {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b Heard) int { return compareNames(a.Name, b.Name) })
	return all
}

// Workers returns the workers that can be heard, for a node that launches none itself.
func (r *Roster) Workers() []Worker {
	var all []Worker
	for _, h := range r.Reports() {
		all = append(all, Worker{Name: h.Name, PID: h.PID, State: h.State})
	}
	return all
}

// find returns the latest report of the name, unless it is too old.
func (r *Roster) find(name string) (Heard, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.heard[name]
	return h, ok && time.Since(h.At) <= silence
}

// prune is called with mu held.
func (r *Roster) prune() {
	for name, h := range r.heard {
		if time.Since(h.At) > silence {
			delete(r.heard, name)
		}
	}
}

// compareNames orders names as people count: a shorter number is a smaller one, since none begins with 0.
func compareNames(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
