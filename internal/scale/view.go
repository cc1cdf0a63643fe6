package scale

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// view is what Decide and Predict calculate with: policy and observation, with all that cannot be put right.
type view struct {
	p        Policy
	s        Seen // with counts put right
	min, max int

	work    float64 // images that workers alive or to come will have to do
	arrival float64 // images per second
	rate    float64 // images per second and worker
	busy    int
	idle    int
	coming  []recruit // in the order in which they are expected
	lost    int       // asked for so long ago that they are not expected any more
	lead    float64   // from asking for a worker to its first image: the median
	lead90  float64   // nine of ten are there by then
	notes   string
}

// recruit is a number of workers that will be there after some seconds.
type recruit struct {
	count int
	after float64
}

// mostImages bounds the counts that are believed, so that their sums stay numbers.
const mostImages = 1 << 50

// A worker is given up when it has been on its way for so many times the start-up time, and for so long.
const (
	lostAfter    = 4.0
	lostAfterMin = 15.0
)

// look puts right what cannot be.
func look(p Policy, s Seen) *view {
	v := &view{p: p, s: s}
	v.max = max(0, p.Max)
	v.min = min(max(0, p.Min), v.max)
	var wrong []string
	for _, c := range []struct {
		name string
		n    *int64
	}{{"ready", &v.s.Ready}, {"leased", &v.s.Leased}} {
		if *c.n < 0 {
			wrong = append(wrong, c.name)
		}
		*c.n = min(max(0, *c.n), mostImages)
	}
	for _, x := range []*float64{&v.s.Oldest, &v.s.Arrival, &v.s.Rate, &v.s.Startup.P50, &v.s.Startup.P90, &v.s.Stretch} {
		if !(*x >= 0) || math.IsInf(*x, 1) {
			*x = 0
		}
	}
	if math.IsNaN(s.Rate) || s.Rate < 0 {
		wrong = append(wrong, "rate")
	}
	v.s.Busy, v.s.Idle = max(0, s.Busy), max(0, s.Idle)
	v.busy, v.idle, v.arrival = v.s.Busy, v.s.Idle, v.s.Arrival
	v.rate = firstPositive(s.Rate, p.Rate, 1)
	v.lead = firstPositive(s.Startup.P50, p.Startup, 0)
	v.lead90 = max(v.lead, firstPositive(s.Startup.P90, 1.2*v.lead))
	v.work = float64(v.s.Ready)
	if v.busy > 0 { // what nobody alive holds is no work until it comes back as ready
		v.work += float64(v.s.Leased)
	}
	v.expect()
	if len(wrong) > 0 {
		v.notes = fmt.Sprintf(" (not possible and so left out: %s)", strings.Join(wrong, ", "))
	}
	return v
}

// expect works out when the workers that are starting will be there.
func (v *view) expect() {
	for _, c := range v.s.Starting {
		if c.Count <= 0 {
			continue
		}
		age := max(0, v.s.Now.Sub(c.Asked).Seconds())
		after := v.lead - age
		if after <= 0 { // overdue: it is one of the slow ones
			after = max(v.lead90-age, 0.1*v.lead)
		}
		if age > max(lostAfter*v.lead90, lostAfterMin) {
			v.lost += c.Count
			continue
		}
		v.coming = append(v.coming, recruit{c.Count, after})
	}
	slices.SortStableFunc(v.coming, func(a, b recruit) int { return cmp.Compare(a.after, b.after) })
	if v.lost > 0 {
		v.notes = fmt.Sprintf(" (%s never came and %s not counted on)", workers(v.lost), isAre(v.lost))
	}
}

// staff counts the workers that exist or were asked for, the lost ones too: they may still cost money.
func (v *view) staff() int { return v.hands() + v.lost }

// hands counts the workers that are there or expected.
func (v *view) hands() int {
	n := v.busy + v.idle
	for _, c := range v.coming {
		n += c.count
	}
	return n
}

func (v *view) counted() time.Time {
	if v.s.Counted.IsZero() {
		return v.s.Now
	}
	return v.s.Counted
}

func (v *view) countAge() float64 { return v.s.Now.Sub(v.counted()).Seconds() }

func (v *view) staleAfter() float64 {
	if v.s.Exact {
		return staleExact
	}
	return staleApprox
}

// fluid follows the backlog, taken as a fluid, with the given workers until it is gone or the moment until
// comes. It returns what is left then, and when that was. left is infinite, and at too, where the backlog
// never ends.
func (v *view) fluid(work, inflow float64, alive int, coming []recruit, until float64) (left, at float64) {
	hands := float64(alive)
	for i := 0; ; i++ {
		end := until
		if i < len(coming) {
			end = min(end, coming[i].after)
		}
		drain := hands*v.rate - inflow
		if work <= 0 && drain >= 0 {
			return 0, at
		}
		if drain > 0 && at+work/drain <= end {
			return 0, at + work/drain
		}
		if math.IsInf(end, 1) {
			return math.Inf(1), math.Inf(1)
		}
		work, at = max(0, work-drain*(end-at)), end
		if end >= until {
			return work, at
		}
		hands += float64(coming[i].count)
	}
}

// finish is the time until so many images are done. Images are whole: a worker that is idle or starting needs
// the time of a whole image for its last one, whoever waits for it.
func (v *view) finish(work float64, alive int, coming []recruit) float64 {
	_, low := v.fluid(work, 0, alive, coming, math.Inf(1))
	if math.IsInf(low, 1) || work <= 0 {
		return low
	}
	idle := min(v.idle, alive)
	done := func(t float64) float64 {
		n := float64(alive-idle)*t*v.rate + float64(idle)*math.Floor(t*v.rate+1e-9)
		for _, c := range coming {
			n += float64(c.count) * max(0, math.Floor((t-c.after)*v.rate+1e-9))
		}
		return n
	}
	if done(low) >= work-1e-6 {
		return low
	}
	high := low + 1/v.rate
	for range 30 {
		if mid := (low + high) / 2; done(mid) >= work-1e-6 {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

func firstPositive(xs ...float64) float64 {
	for _, x := range xs {
		if positive(x) {
			return x
		}
	}
	return 0
}
