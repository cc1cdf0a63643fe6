// Package sim runs scaling policies through a load in virtual time: the service's own, which is
// [scale.Decide] itself, and those of other systems, after their documentation.
//
// The same seed gives the same run. Each policy looks at the fleet once in a virtual second; what happens in
// between is worked out in one of two ways, which [Result.Exact] tells apart. Up to [ExactImages] images each
// image is followed on its own: first come, first served, by the worker that has been free the longest. Beyond that,
// images are taken together in cohorts of up to a second and workers in cohorts that started together:
// backlogs, workers and costs are then as good, and the waiting behind a backlog is right to a fraction of a
// second, but the short queues that chance alone makes in front of a fleet with spare capacity are left out. Memory
// depends on neither the number of images nor on the length of the load.
package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/ocelli/ocelli/internal/scale"
)

// ExactImages is the number of images up to which each is followed on its own.
const ExactImages = 20_000_000

// Config is the world in which all policies run.
type Config struct {
	Max         int     // workers at most
	Startup     float64 // seconds from asking for a worker to its first image
	Rate        float64 // images per second of one worker
	Price       float64 // USD per worker-hour, counted from asking for it
	BillUnit    float64 // seconds; time is billed in such units
	BillAtLeast float64 // seconds billed for each worker at least
	SLO         float64 // seconds in which an image should be done
	WaitWorth   float64 // scale.Policy.WaitWorth; 0 takes the default of scale.Cloud or scale.Local
	Jitter      float64 // start-up and service times vary evenly by this share; 0.1 is ±10 %
	Seed        uint64
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() error {
	switch {
	case c.Max < 1 || c.Max > 1_000_000:
		return fmt.Errorf("the number of workers is %d: give 1 to 1000000", c.Max)
	case !(c.Rate > 0) || math.IsInf(c.Rate, 0):
		return fmt.Errorf("a worker's rate is %v images per second: give more than 0", c.Rate)
	case !(c.Startup >= 0) || c.Startup > 86400:
		return fmt.Errorf("the start-up time is %v s: give 0 to a day", c.Startup)
	case !(c.Price >= 0) || math.IsInf(c.Price, 0):
		return fmt.Errorf("the price is %v: give 0 or more", c.Price)
	case !(c.Jitter >= 0) || c.Jitter >= 1:
		return fmt.Errorf("the jitter is %v: give 0 to less than 1", c.Jitter)
	case !(c.BillUnit >= 0) || !(c.BillAtLeast >= 0) || !(c.WaitWorth >= 0) || !(c.SLO > 0):
		return fmt.Errorf("billing unit %v, least time billed %v, worth of waiting %v and objective %v: none may be negative, and the objective not 0",
			c.BillUnit, c.BillAtLeast, c.WaitWorth, c.SLO)
	}
	return nil
}

// policy is the scaling policy of the service in this world: a fleet that costs nothing is one's own machine.
func (c Config) policy(name string) scale.Policy {
	p := scale.Cloud(c.Max)
	if c.Price == 0 {
		p = scale.Local(c.Max)
		p.Min = 0
	}
	p.Name, p.Rate, p.Startup = name, c.Rate, c.Startup
	p.Price, p.BillUnit, p.BillAtLeast = c.Price, c.BillUnit, c.BillAtLeast
	if c.WaitWorth > 0 {
		p.WaitWorth = c.WaitWorth
	}
	return p
}

// Result is what became of one load under one policy.
type Result struct {
	Policy           string  `json:"policy"`
	P50              float64 `json:"p50_s"` // from arrival to result, per image
	P95              float64 `json:"p95_s"`
	P99              float64 `json:"p99_s"`
	SLO              float64 `json:"slo"`               // share of images done within Config.SLO
	OverProvisioning float64 `json:"over_provisioning"` // share of the billed time in which workers had no image
	WorkerSeconds    float64 `json:"worker_seconds"`    // billed
	USDPerMillion    float64 `json:"usd_per_million"`
	Actions          int     `json:"actions"` // times that the number of workers was changed
	Lost             int64   `json:"lost"`    // images whose worker was ended under them, and which were done again
	Images           int64   `json:"images"`
	Finish           float64 `json:"finish_s"` // when the last image was done
	Peak             int     `json:"peak_workers"`
	Exact            bool    `json:"exact"`
	Why              string  `json:"why,omitempty"` // the reason of the decision that asked for most workers

	Series Series `json:"-"`
}

// linger is how long after the last image a fleet is billed on, at most: some policies never end their workers.
const linger = 3600.0

// Run takes the load through the policy. It stops early, with ctx's error, when ctx ends.
func Run(ctx context.Context, c Config, load Load, name string) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	s, err := newScaler(name, c)
	if err != nil {
		return Result{}, err
	}
	r := Result{Policy: name, Exact: load.Images <= ExactImages}
	w := &world{Config: c, rng: rand.New(rand.NewPCG(c.Seed, 1)), next: load.Open(c.Seed)}
	if r.Exact {
		w.pool = &exactPool{tally: newTally(c), rng: w.rng, vary: c.Jitter}
	} else {
		w.pool = &fluidPool{tally: newTally(c)}
	}
	w.pool.add(s.standing, -c.Startup, 0)
	err = w.run(ctx, s, &r)
	if s.free {
		w.tally().billed = w.tally().busy
	}
	w.tally().report(&r, c)
	return r, err
}

// world is one run.
type world struct {
	Config
	pool    pool
	rng     *rand.Rand
	next    func() (Batch, bool)
	held    *Batch // read from the load, and not arrived yet
	arrived int64
	ended   bool // the load
}

func (w *world) tally() *tally { return w.pool.count() }

// run turns the clock second by second until all is done and the fleet has gone back to its resting size.
func (w *world) run(ctx context.Context, s *scaler, r *Result) error {
	most := -1
	for now := 0.0; ; now++ {
		if int(now)%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		w.arrive(now)
		w.pool.advance(now)
		o := w.pool.observe(now)
		o.arrived = w.arrived
		want, reason := s.want(o)
		want = min(max(want, 0), w.Max)
		if w.resize(now, want, o.staff(), s.blind) {
			r.Actions++
			if want > most {
				most, r.Why = want, reason
			}
		}
		r.Peak = max(r.Peak, want)
		r.Series.add(now, float64(o.ready+o.leased), float64(o.busy+o.idle), float64(want))
		rests := w.ended && o.ready+o.leased == 0
		if rests && (o.staff() <= s.standing || now > w.tally().last+linger) {
			w.pool.remove(w.pool.observe(now).staff(), now, false)
			return nil
		}
	}
}

// resize starts or ends workers and reports whether it had to.
func (w *world) resize(now float64, want, staff int, blind bool) bool {
	switch {
	case want > staff:
		w.pool.add(want-staff, now, now+w.Startup*w.vary())
	case want < staff:
		w.pool.remove(staff-want, now, blind)
	}
	return want != staff
}

func (w *world) vary() float64 { return 1 + w.Jitter*(2*w.rng.Float64()-1) }

// arrive moves what the load brings up to now into the queue.
func (w *world) arrive(now float64) {
	for !w.ended {
		if w.held == nil {
			b, ok := w.next()
			if !ok {
				w.ended = true
				return
			}
			w.held = &b
		}
		if w.held.At >= now && w.held.At+w.held.Over > now {
			return
		}
		b, rest := w.held.split(now)
		if b.Count > 0 {
			w.arrived += b.Count
			w.pool.enqueue(b)
		}
		w.held = rest
		if rest != nil {
			return
		}
	}
}

// pool is queue and fleet together. exactPool follows each image, fluidPool cohorts.
type pool interface {
	enqueue(b Batch)
	advance(to float64)
	add(n int, asked, ready float64)
	remove(n int, now float64, blind bool)
	observe(now float64) observation
	count() *tally
}

// observation is what a policy can see at one moment.
type observation struct {
	now     float64
	arrived int64
	ready   int64 // images that wait
	leased  int64
	busy    int
	idle    int
	coming  []scale.Starting
	came    []float64 // start-up times of the workers that began since the last observation
	done    float64   // images begun since the last observation
	worked  float64   // worker-seconds for them
}

func (o observation) staff() int {
	n := o.busy + o.idle
	for _, c := range o.coming {
		n += c.Count
	}
	return n
}
