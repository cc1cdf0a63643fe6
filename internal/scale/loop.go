package scale

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/queue"
)

// Crew is the part of [fleet.Crew] that the loop needs.
type Crew interface {
	Look(ctx context.Context) (fleet.Snapshot, error)
	Resize(ctx context.Context, want int) (fleet.Change, error)
}

// Loop measures, decides, acts and records, again and again.
type Loop struct {
	queue  queue.Queue
	crew   Crew
	record func(Decision) error
	log    *slog.Logger
	wake   chan struct{}

	mu          sync.Mutex
	policy      Policy
	changed     []string // changes of the policy that no decision tells of yet
	last        Decision
	problem     string
	arrivals    Arrivals
	calibration Calibration
}

const (
	decideEvery = time.Second
	// stepTime bounds one turn. A call of a cloud whose connection has silently gone would last for a quarter of an hour, in which nobody scales.
	stepTime = time.Minute
	// decideAfter is how long after a wake-up the loop looks: a queue may count a message a few milliseconds after it
	// has accepted it, and images seldom come alone.
	decideAfter = 10 * time.Millisecond
)

// NewLoop returns a loop that keeps crew at the size that the policy wants for the queue. record, which may be nil, is
// given each decision that changed something.
func NewLoop(policy Policy, q queue.Queue, crew Crew, record func(Decision) error, log *slog.Logger) *Loop {
	return &Loop{policy: policy, queue: q, crew: crew, record: record, log: log, wake: make(chan struct{}, 1)}
}

// Wake makes the loop decide at once: images have come.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Policy returns the policy in force.
func (l *Loop) Policy() Policy {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.policy
}

// Change puts another policy in force. what says in one sentence what was changed, and stands in the record of the next decision,
// which comes at once.
func (l *Loop) Change(to Policy, what string) error {
	if err := to.Validate(); err != nil {
		return err
	}
	l.mu.Lock()
	l.policy = to
	l.changed = append(l.changed, what)
	l.mu.Unlock()
	l.Wake()
	return nil
}

// Last returns the latest decision, and in one sentence what keeps the loop from acting on it, or "".
func (l *Loop) Last() (Decision, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last, l.problem
}

// Forecast is [Decision.Forecast] of the latest decision, by the policy that is in force now.
func (l *Loop) Forecast(images int64) (eta, p90 time.Duration, known bool) {
	l.mu.Lock()
	d := l.last
	d.Policy = l.policy
	l.mu.Unlock()
	return d.Forecast(images)
}

func lasting(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Came takes in how long a job took for which Forecast had said eta.
func (l *Loop) Came(eta, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calibration.Observe(eta.Seconds(), took.Seconds())
}

// Calibration returns of how many jobs the forecast could be checked, and the share of those that took within 20 % of it.
func (l *Loop) Calibration() (jobs int, within20 float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calibration.Count(), l.calibration.Within20()
}

// Run decides every second, and soon after each Wake, until ctx ends. It may be called again.
func (l *Loop) Run(ctx context.Context) error {
	defer l.forget()
	tick := time.NewTicker(decideEvery)
	defer tick.Stop()
	for {
		problem, err := l.step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			problem = err.Error()
			l.log.Warn("the number of workers could not be adjusted; trying again", "error", err)
		}
		l.mu.Lock()
		l.problem = problem
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-l.wake:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(decideAfter):
			}
		}
	}
}

// forget ends a term: another may lead now, and whoever leads next, be it this process again, knows nothing of who was needed meanwhile.
func (l *Loop) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.problem, l.arrivals = Decision{}, "", Arrivals{}
}

// step is one turn. Without a count of the queue it leaves the workers as they are.
func (l *Loop) step(ctx context.Context) (problem string, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	snapshot, err := l.crew.Look(ctx)
	if err != nil {
		return "", err
	}
	counted := time.Now() // or a little later
	stats, err := l.queue.Stats(ctx)
	if err != nil {
		return "", fmt.Errorf("counting the queue: %w", err)
	}
	seen := l.seen(snapshot, counted, stats)
	policy, what := l.takeChange()
	d := Decide(policy, seen)
	d.Changed = what
	change, err := l.crew.Resize(ctx, d.Want)
	d.Done = &change
	l.mu.Lock()
	changed := change.Any() || d.Changed != "" || d.Want != l.last.Want || d.Reason != l.last.Reason && stats.Backlog() > 0
	l.last = d
	l.mu.Unlock()
	if change.Any() {
		l.log.Info("workers changed", "want", d.Want, "launched", change.Launched, "drained", change.Drained, "ended", change.Ended, "reason", d.Reason)
	}
	if changed && l.record != nil {
		if err := l.record(d); err != nil {
			l.log.Warn("a scaling decision could not be recorded", "error", err)
		}
	}
	if problem = change.Held; problem == "" {
		problem = snapshot.Trouble
	}
	return problem, err
}

// takeChange returns the policy in force, and what was changed in it since the last call.
func (l *Loop) takeChange() (Policy, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what := strings.Join(l.changed, "; ")
	l.changed = nil
	return l.policy, what
}

// seen puts together what is known now.
func (l *Loop) seen(snapshot fleet.Snapshot, counted time.Time, stats queue.Stats) Seen {
	now := time.Now()
	l.arrivals.Observe(now, stats.Sent)
	l.mu.Lock()
	last, stretch, policy := l.last.Next, l.calibration.Stretch(), l.policy
	l.mu.Unlock()
	return Seen{
		Now: now, Counted: counted, Ready: stats.Ready, Leased: stats.Leased, Oldest: stats.Oldest.Seconds(), Exact: stats.Exact,
		Arrived: stats.Sent, Arrival: l.arrivals.PerSecond(),
		Rate: snapshot.Rate, Stretch: stretch,
		Startup: Startup{P50: snapshot.StartUp.Seconds(), P90: snapshot.StartUp90.Seconds()},
		Busy:    snapshot.Busy, Idle: snapshot.Idle, Finishing: snapshot.Finishing, Prepaid: policy.prepaid(now, snapshot.Resting, snapshot.StartUp.Seconds()),
		Starting: grouped(snapshot.Starting), Last: last,
	}
}

// mostGroups bounds the groups of starting workers that a decision tells apart: it is told to web nodes in one message.
const mostGroups = 64

// grouped puts workers that were asked for at one time, or nearly so where that makes too many groups, together. asked has the oldest first.
func grouped(asked []time.Time) []Starting {
	for grain := time.Duration(0); ; grain = max(2*grain, 10*time.Millisecond) {
		var groups []Starting
		for _, at := range asked {
			if last := len(groups) - 1; last >= 0 && at.Sub(groups[last].Asked) <= grain {
				groups[last].Count++
			} else {
				groups = append(groups, Starting{Count: 1, Asked: at})
			}
		}
		if len(groups) <= mostGroups {
			return groups
		}
	}
}
