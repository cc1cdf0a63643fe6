package fleet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// CrewConfig says how a [Crew] treats its workers. Zero values mean the defaults.
type CrewConfig struct {
	// Prefix begins the name of each worker; a number from 1 follows. Default "ocelli-worker-".
	Prefix string
	// Max is how many workers may be alive at once, those included that were told to go and have not gone yet; 0 is
	// no bound. Resize launches no more until they have gone, however many are wanted.
	Max int
	// StartDeadline is how long a worker may take until it is ready; then it is ended. Default 2 min.
	StartDeadline time.Duration
	// DrainTimeout is how long a drained worker may take to end; then it is ended by force, unless it says that it
	// still holds images. Default 1 min.
	DrainTimeout time.Duration
	// SilentFor is how long a worker that was ready may say nothing; then it is drained, and soon after ended by force, since one that is
	// stopped does not hear of a drain. Default 30 s.
	SilentFor time.Duration
	// MaxLife is when a worker is drained whatever it does, counted from its launch; 0 means never. A launcher that
	// costs money gives its workers a time of death of its own besides, for when no controller is alive.
	MaxLife time.Duration
	// Exits tells how workers ended, where the launcher can; nil where it cannot. The crew is its only reader.
	Exits <-chan Exit
}

// Crew is the hands of a scaler: it knows the workers of one launcher, keeps as many of them as it is told, and
// replaces those that fail. A loop calls Listen once, and then Look, decides, and calls Resize, again and again; those and End must not
// run at the same time. Snapshot may be called from anywhere at any time. The roster must be running.
//
// Every worker is entered in the ledger before it is asked for, so one that starts slowly is never asked for twice. What
// outlives a controller is the launcher's own List: a new crew adopts the workers it finds there, takes the
// lowest names that are free, and relies on Launch doing nothing for a name that is already alive.
type Crew struct {
	launcher Launcher
	roster   *Roster
	log      *slog.Logger
	config   CrewConfig

	mu      sync.Mutex
	ledger  map[string]*member
	ended   map[string]Exit // by instance id, of members that List still named
	startUp durations
	rate    float64 // images a second of one busy worker; 0 until one was measured
	backoff backoff
	turned  time.Time // of the last Resize
	resumed time.Time // when Look found that Resize was not called for a while, in which perhaps nobody could be heard
	deaf    time.Time // the same, or when of several workers none was heard
}

// member is a worker in the ledger.
type member struct {
	Instance           // ID is "" until Launch has returned; Launched is by this machine's clock, unless it was adopted
	entered  time.Time // in the ledger
	round    int       // of the backoff, after which it was launched
	adopted  bool      // found in List, not launched here
	former   Report    // what the roster still had from an earlier worker of this name
	ready    time.Time // when it was first heard to be ready; zero while it starts
	leaving  time.Time // when it was told to go, or said that it goes; zero while it stays
	report   Report    // its latest
	heard    time.Time // when that came; zero before the first
	silent   bool      // was ready, and has said nothing for so long that it is not reckoned with
}

// NewCrew returns a crew that knows no worker until Look.
func NewCrew(launcher Launcher, roster *Roster, log *slog.Logger, config CrewConfig) *Crew {
	config.Prefix = cmp.Or(config.Prefix, "ocelli-worker-")
	config.StartDeadline = cmp.Or(config.StartDeadline, 2*time.Minute)
	config.DrainTimeout = cmp.Or(config.DrainTimeout, time.Minute)
	config.SilentFor = cmp.Or(config.SilentFor, 30*time.Second)
	return &Crew{
		launcher: launcher, roster: roster, log: log, config: config,
		ledger: map[string]*member{}, ended: map[string]Exit{},
	}
}

// Look brings the ledger up to date with what the launcher lists and the workers report, and returns it. Where
// the launcher does not answer, it returns what was known before, and the error.
func (c *Crew) Look(ctx context.Context) (Snapshot, error) {
	listed, err := c.launcher.List(ctx)
	if err != nil {
		return c.Snapshot(), fmt.Errorf("look at the workers: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	alive := map[string]Instance{}
	for _, inst := range listed {
		alive[inst.Name] = inst
	}
	c.adopt(now, alive)
	c.hear(now)
	c.collectExits()
	c.strike(now, alive)
	// Where one is still wanted, the next try comes within backoffMax, and what comes of it is known within the deadline.
	c.backoff.forget(now, c.config.StartDeadline+2*backoffMax)
	return c.snapshot(now), nil
}

// listenTime bounds how long Listen waits. A worker reports each second to those whom it knows to listen, and on SQS it
// looks for them every five seconds.
const listenTime = 8 * time.Second

// Listen looks until every worker that stays has been heard lately, but not for long: to a controller that takes over, one
// that it has not heard is one that starts, since so long that it would not be counted on any more, and would be replaced.
func (c *Crew) Listen(ctx context.Context) {
	for deadline := time.Now().Add(listenTime); ; {
		if _, err := c.Look(ctx); err != nil || c.allHeard() || !time.Now().Before(deadline) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (c *Crew) allHeard() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.ledger {
		if m.leaving.IsZero() && time.Since(m.heard) > silence {
			return false
		}
	}
	return true
}

// adopt enters workers that nobody here asked for: those of a controller that was here before, or of a
// Launch that failed and happened nevertheless. If they stay silent they are ended like any other.
func (c *Crew) adopt(now time.Time, alive map[string]Instance) {
	for name, inst := range alive {
		m := c.ledger[name]
		if m != nil && m.ID == inst.ID {
			continue
		}
		c.log.Info("found a worker that this controller did not launch", "worker", name, "id", inst.ID)
		m = &member{Instance: inst, entered: now, round: c.backoff.round, adopted: true}
		if inst.Ending {
			m.leaving = now
		}
		c.ledger[name] = m
	}
}

// hear takes in the reports of the workers.
func (c *Crew) hear(now time.Time) {
	var rates, sum float64
	for _, h := range c.roster.Reports() {
		m := c.ledger[h.Name]
		if m == nil || h.sameLife(m.former) {
			continue
		}
		m.report, m.heard = h.Report, h.At
		if m.ready.IsZero() && h.State != Starting {
			m.ready = h.At
			if !m.adopted {
				c.startUp.add(h.At.Sub(m.Launched))
			}
		}
		if h.State == Draining && m.leaving.IsZero() {
			m.leaving = now
		}
		if m.proven(now) {
			c.backoff.proven(m.round)
		}
		if h.Rate > 0 {
			rates, sum = rates+1, sum+h.Rate
		}
	}
	if rates > 0 {
		c.rate = sum / rates
	}
	c.doubt(now)
}

const (
	// doubtAfter is how long a worker that was ready may say nothing and is still reckoned with: a busy machine, or one that lost its
	// connection, may take some seconds.
	doubtAfter = 2 * silence
	// silentDrain is how long a worker may take to end that was drained because it was silent.
	silentDrain = 10 * time.Second
)

// doubt marks the workers that are not reckoned with. Where none of several can be heard it is rather the bus that fails: it would be
// dear to launch as many again at once, and SilentFor holds for them all the same.
func (c *Crew) doubt(now time.Time) {
	ready, unheard := 0, 0
	for _, m := range c.ledger {
		if m.leaving.IsZero() && !m.ready.IsZero() {
			ready++
			if now.Sub(m.heard) > doubtAfter {
				unheard++
			}
		}
	}
	if now.Sub(c.turned) > silence {
		c.resumed, c.deaf = now, now
	} else if ready > 1 && unheard == ready {
		c.deaf = now
	}
	for _, m := range c.ledger {
		if m.leaving.IsZero() {
			m.silent = !m.ready.IsZero() && min(now.Sub(m.heard), now.Sub(c.deaf)) > doubtAfter
		} else if now.Sub(m.heard) <= silence {
			m.silent = false
		}
	}
}

func (m *member) proven(now time.Time) bool {
	return m.report.Done > 0 || !m.ready.IsZero() && now.Sub(m.ready) >= provenAfter
}

func (c *Crew) collectExits() {
	for {
		select {
		case e, ok := <-c.config.Exits:
			if !ok {
				c.config.Exits = nil
				return
			}
			c.ended[e.ID] = e
		default:
			return
		}
	}
}

// strike takes workers that have ended out of the ledger.
func (c *Crew) strike(now time.Time, alive map[string]Instance) {
	ended := c.ended
	c.ended = map[string]Exit{}
	for name, m := range c.ledger {
		exit, known := ended[m.ID]
		if _, lives := alive[name]; lives {
			if known {
				c.ended[m.ID] = exit
			}
			continue
		}
		delete(c.ledger, name)
		what := name + " crashed"
		switch {
		case !known:
			exit.How = "no reason is known"
		case exit.How == "":
			what = name + " ended by itself"
		}
		switch {
		case !m.leaving.IsZero():
			c.log.Info("worker ended", "worker", name, "id", m.ID, "took_ms", now.Sub(m.leaving).Milliseconds())
		case exit.How == "" && m.proven(now):
			c.log.Info("worker ended by itself", "worker", name, "id", m.ID)
		default:
			c.log.Warn("worker lost", "worker", name, "id", m.ID, "how", exit.String(), "holding", m.report.Holding)
			c.backoff.note(now, m.round, what, exit.String())
		}
	}
}

// inOrder returns the ledger by number; mu is held.
func (c *Crew) inOrder() []*member {
	return slices.SortedFunc(maps.Values(c.ledger), func(a, b *member) int { return compareNames(a.Name, b.Name) })
}
