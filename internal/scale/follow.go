package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/notify"
)

// Topics on which a loop and the web nodes of other processes hear of each other.
const (
	outlookTopic = "scaling.outlook"
	wakeTopic    = "scaling.wake"
)

const (
	tellBusy    = 2 * time.Second // between two outlooks while there is work and nothing changes
	tellIdle    = 10 * time.Second
	outlookLife = 3 * tellIdle                 // after which an outlook is not believed any more
	wakeGap     = 200 * time.Millisecond       // between two wake-ups at least: one is enough for many images
	farOff      = math.MaxInt64 / float64(1e9) // seconds that a [time.Duration] cannot tell
)

// Outlook is what a loop tells web nodes of other processes: its latest decision, without what was done and what was remembered, which
// may be too long for a message, and what keeps it from acting on it.
type Outlook struct {
	Decision Decision `json:"decision"`
	Problem  string   `json:"problem,omitempty"`
}

// Forecast says after how long a number of images will be done, those before them included, and after how long in nine cases of ten.
// known is false before the first decision, and where no worker would come.
func (d Decision) Forecast(images int64) (eta, p90 time.Duration, known bool) {
	s := d.Seen
	if s.Now.IsZero() {
		return 0, 0, false
	}
	// The images may have come since the decision, and the workers for them with the next.
	s.Ready, s.Last = max(s.Ready, images), d.Next
	s.Last = Decide(d.Policy, s).Next
	e, p := Predict(d.Policy, s, images)
	if !(p < farOff) {
		return 0, 0, false
	}
	return lasting(e), lasting(p), true
}

// Teller tells others what a loop decides, and the loop when others have work. It is between one loop and the bus.
type Teller struct {
	bus  notify.Bus
	loop *Loop
}

// NewTeller returns a teller that does nothing until Run.
func NewTeller(bus notify.Bus, loop *Loop) *Teller { return &Teller{bus, loop} }

// Run tells of decisions until ctx ends: of one that wants another number of workers within a second, of others now and then.
func (t *Teller) Run(ctx context.Context) error {
	stop, err := t.bus.Subscribe(ctx, wakeTopic, func([]byte) { t.loop.Wake() })
	if err != nil {
		if ctx.Err() != nil {
			return nil // it ends before it has begun
		}
		return fmt.Errorf("listening to the web nodes: %w", err)
	}
	defer stop()
	tick := time.NewTicker(decideEvery / 4)
	defer tick.Stop()
	var told Outlook
	var at time.Time
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var o Outlook
		o.Decision, o.Problem = t.loop.Last()
		o.Decision.Done, o.Decision.Seen.Last = nil, Memory{}
		gap := tellIdle
		if o.Decision.Seen.Ready+o.Decision.Seen.Leased > 0 {
			gap = tellBusy
		}
		changed := o.Decision.Want != told.Decision.Want || o.Problem != told.Problem
		if o.Decision.Seen.Now.IsZero() || !changed && time.Since(at) < gap {
			continue
		}
		told, at = o, time.Now()
		body, err := json.Marshal(o)
		if err == nil {
			err = t.bus.Publish(ctx, outlookTopic, body)
		}
		if err != nil && !failing && ctx.Err() == nil {
			t.loop.log.Warn("the web nodes cannot be told how many workers there should be; trying again", "error", err)
		}
		failing = err != nil
	}
}

// Follower knows what the loop of another process decides. It is a [github.com/ocelli/ocelli/internal/result.Forecaster]. Its methods may
// be called from any number of goroutines; Run must be running for them to know anything.
type Follower struct {
	bus notify.Bus

	mu          sync.Mutex
	last        Outlook
	at          time.Time
	woke        time.Time
	calibration Calibration
}

// NewFollower returns a follower that knows nothing until Run.
func NewFollower(bus notify.Bus) *Follower { return &Follower{bus: bus} }

// Run listens until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	stop, err := f.bus.Subscribe(ctx, outlookTopic, f.hear)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it ends before it has begun
		}
		return fmt.Errorf("listening to the controller of the workers: %w", err)
	}
	<-ctx.Done()
	stop()
	return nil
}

// hear drops what is no outlook.
func (f *Follower) hear(body []byte) {
	var o Outlook
	if json.Unmarshal(body, &o) != nil || o.Decision.Policy.Validate() != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.at = o, time.Now()
}

// Last returns the latest outlook, and false where there was none of late: then nobody keeps the workers.
func (f *Follower) Last() (Outlook, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, !f.at.IsZero() && time.Since(f.at) < outlookLife
}

// Wake lets the loop decide soon: images have come.
func (f *Follower) Wake(ctx context.Context) {
	f.mu.Lock()
	due := time.Since(f.woke) >= wakeGap
	if due {
		f.woke = time.Now()
	}
	f.mu.Unlock()
	if due {
		_ = f.bus.Publish(ctx, wakeTopic, []byte("{}")) // the loop looks every second anyway
	}
}

// Forecast is [Decision.Forecast] of the latest outlook.
func (f *Follower) Forecast(images int64) (eta, p90 time.Duration, known bool) {
	o, fresh := f.Last()
	if !fresh {
		return 0, 0, false
	}
	return o.Decision.Forecast(images)
}

// Came takes in how long a job took for which Forecast had said eta.
func (f *Follower) Came(eta, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calibration.Observe(eta.Seconds(), took.Seconds())
}

// Calibration returns of how many jobs the forecast could be checked, and the share of those that took within 20 % of it.
func (f *Follower) Calibration() (jobs int, within20 float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calibration.Count(), f.calibration.Within20()
}
