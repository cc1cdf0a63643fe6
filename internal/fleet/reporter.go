package fleet

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/notify"
)

const (
	reportEvery = time.Second
	// reportGap is the least time between two reports: a worker that takes an image every few milliseconds
	// changes its state as often, and nobody wants to hear of each.
	reportGap = 50 * time.Millisecond
	// rateMemory is the busy time over which the weight of a measured rate falls to 1/e.
	rateMemory = 30 * time.Second
)

// Reporter publishes what a worker does. The worker calls its methods as things happen, from any
// goroutine, while Run publishes.
type Reporter struct {
	bus     notify.Bus
	log     *slog.Logger
	changed chan struct{}

	mu       sync.Mutex
	report   Report
	ready    bool
	draining bool
	busyAt   time.Time // since when BusyFor is to be counted; zero while nothing is in hand

	rated     time.Duration // the BusyFor and Done up to which Rate is measured
	ratedDone int64
}

// NewReporter returns a reporter for the worker of this process, which is starting.
func NewReporter(bus notify.Bus, log *slog.Logger, name, version string) *Reporter {
	now := time.Now()
	return &Reporter{
		bus: bus, log: log, changed: make(chan struct{}, 1),
		report: Report{Name: name, PID: os.Getpid(), Started: now, State: Starting, Since: now, Version: version},
	}
}

// Ready says that the model is loaded and the worker begins to lease.
func (r *Reporter) Ready(model ocelli.Model) {
	r.change(func(*Report) { r.ready, r.report.Model = true, &model })
}

// Leased says that n more images are in hand.
func (r *Reporter) Leased(n int) { r.change(func(s *Report) { s.Holding += n }) }

// Settled says that n images have left the hand with their result.
func (r *Reporter) Settled(n int) {
	r.change(func(s *Report) { s.Holding, s.Done = s.Holding-n, s.Done+int64(n) })
}

// GaveBack says that n images have left the hand without a result: nacked, or their leases lost.
func (r *Reporter) GaveBack(n int) { r.change(func(s *Report) { s.Holding -= n }) }

// Drain says that the worker leases no more.
func (r *Reporter) Drain() { r.change(func(*Report) { r.draining = true }) }

// Report returns the report as of now.
func (r *Reporter) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(time.Now())
	return r.report
}

func (r *Reporter) change(do func(*Report)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.count(now)
	do(&r.report)
	if r.report.Holding > 0 && r.busyAt.IsZero() {
		r.busyAt = now
	} else if r.report.Holding <= 0 {
		r.busyAt = time.Time{}
	}
	state := r.state()
	if state == r.report.State {
		return
	}
	r.report.State, r.report.Since = state, now
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *Reporter) state() State {
	switch {
	case r.draining:
		return Draining
	case !r.ready:
		return Starting
	case r.report.Holding > 0:
		return Busy
	default:
		return Idle
	}
}

// count brings BusyFor and Rate up to now.
func (r *Reporter) count(now time.Time) {
	if r.busyAt.IsZero() {
		return
	}
	r.report.BusyFor += now.Sub(r.busyAt)
	r.busyAt = now
}

// measure brings Rate up to date. Time without a finished image waits until one is finished, so that slow
// images do not read as none.
func (r *Reporter) measure() {
	busy, done := r.report.BusyFor-r.rated, r.report.Done-r.ratedDone
	if busy <= 0 || done == 0 {
		return
	}
	rate := float64(done) / busy.Seconds()
	if r.ratedDone == 0 {
		r.report.Rate = rate
	} else {
		r.report.Rate += (rate - r.report.Rate) * (1 - math.Exp(-busy.Seconds()/rateMemory.Seconds()))
	}
	r.rated, r.ratedDone = r.report.BusyFor, r.report.Done
}

// Run publishes a report every second and soon after each change of state, until ctx ends; then it publishes that the
// worker is gone: end it after the worker, not with it. A report that cannot be published is not worth stopping for: the next one says more.
func (r *Reporter) Run(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	failing := false
	for {
		err := r.publish(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.log.Warn("the worker cannot report its state; it keeps working and trying", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return r.sayGone(ctx)
		case <-time.After(reportGap):
		}
		select {
		case <-ctx.Done():
			return r.sayGone(ctx)
		case <-tick.C:
		case <-r.changed:
		}
	}
}

// sayGone returns no error: whoever does not hear it notices the silence.
func (r *Reporter) sayGone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportEvery)
	defer cancel()
	r.mu.Lock()
	r.report.State, r.report.Since = Gone, time.Now()
	r.mu.Unlock()
	_ = r.publish(ctx)
	return nil
}

func (r *Reporter) publish(ctx context.Context) error {
	r.mu.Lock()
	r.count(time.Now())
	r.measure()
	body, err := json.Marshal(r.report)
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return r.bus.Publish(ctx, Topic, body)
}
