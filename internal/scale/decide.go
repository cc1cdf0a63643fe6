package scale

import (
	"fmt"
	"time"
)

// How old a count may be before nothing is decided on it: an exact one is counted at each turn of the loop, an
// approximate one lags by a minute by itself
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html).
const (
	staleExact  = 10.0
	staleApprox = 120.0
)

// How often, and for how long where counts are approximate, the queue must be seen empty before the last
// worker goes.
const (
	emptyCounts = 2
	emptyApprox = 60.0
)

// Decide says how many workers there should be. It answers for every input, however broken: the answer lies
// within the bounds of the policy, and a number that cannot be is taken as not known.
func Decide(p Policy, s Seen) Decision {
	v := look(p, s)
	need, reason := v.need()
	next := v.remember()
	want, reason := v.calm(need, reason, &next)
	want, reason = v.bound(want, reason)
	if next.Want != want || next.Changed.IsZero() {
		next.Changed = s.Now
	}
	next.Want = want
	d := Decision{Policy: p, Seen: v.s, Want: want, Reason: reason + v.notes, Outcome: v.outcome(want), Next: next}
	if want > v.min {
		o := v.outcome(want - 1)
		d.Fewer = &o
	}
	if want < v.max {
		o := v.outcome(want + 1)
		d.More = &o
	}
	return d
}

// need is how many workers the policy asks for, before hysteresis and bounds.
func (v *view) need() (int, string) {
	if age := v.countAge(); age > v.staleAfter() {
		return v.staff(), fmt.Sprintf("the queue was last counted %s ago, so nothing changes until it is counted again: %s",
			seconds(age), workers(v.staff()))
	}
	// What a queue counts exactly and nobody alive holds was held by workers that died. Some queues count it as leased until somebody
	// asks for messages, so without a worker it would never come back. A worker that is about to end may hold it, and has perhaps not said
	// so yet: none is started for what it finishes in a moment.
	if v.s.Exact && v.s.Ready == 0 && v.s.Leased > 0 && v.busy == 0 {
		switch {
		case v.s.Finishing > 0 && v.arrival == 0:
			return 0, "nothing waits, and workers that are about to end finish what is still leased: 0 workers"
		case v.s.Finishing <= 0:
			return 1, fmt.Sprintf("no worker alive holds the %s still leased: 1 worker takes them when their leases pass", count(v.s.Leased, "image", "images"))
		}
	}
	if v.p.Name == Backlog {
		return v.byBacklog()
	}
	return v.byBreakeven()
}

// calm is the hysteresis. Workers are added at once; they go only when fewer have been enough for a while, and
// not while their time is already paid. Who goes is not decided here: the fleet drains idle ones first.
func (v *view) calm(need int, reason string, next *Memory) (int, string) {
	staff := v.staff()
	next.Needed = v.needed(need)
	if need >= staff {
		return need, reason
	}
	peak := need
	for _, l := range next.Needed {
		peak = max(peak, l.Need)
	}
	if peak >= staff {
		return staff, reason + fmt.Sprintf("; %s until fewer have been enough for %s", stay(staff), seconds(v.hold()))
	}
	if peak == 0 && !v.surelyEmpty(*next) {
		peak = 1
		reason += "; " + v.emptyNeeds(*next)
		if staff == 1 {
			return staff, reason
		}
	}
	if staff-peak < v.deadband(staff) {
		return staff, reason + fmt.Sprintf("; to end so few is not worth a change while images keep arriving: %s", stay(staff))
	}
	if keep := v.keep(); keep > peak {
		return min(keep, staff), reason + fmt.Sprintf("; %s, holding an image or paid for already", stay(min(keep, staff)))
	}
	return peak, reason
}

// mostLevels bounds Memory.Needed.
const mostLevels = 16

// needed adds the present need to the memory and forgets what is older than hold. The needs fall from the
// first, which is the largest within hold, to the last. A controller that remembers nothing takes it that all
// workers have just been needed.
func (v *view) needed(need int) []Level {
	before := v.s.Last.Needed
	if len(before) == 0 {
		before = []Level{{v.staff(), v.s.Now}}
	}
	var levels []Level
	for _, l := range before[:min(len(before), mostLevels)] {
		if l.At.After(v.s.Now) {
			l.At = v.s.Now
		}
		if l.Need > need && v.s.Now.Sub(l.At).Seconds() < v.hold() {
			levels = append(levels, l)
		}
	}
	if n := len(levels); n == mostLevels { // the two smallest become one, which is never too small
		levels[n-2].At = levels[n-1].At
		levels = levels[:n-1]
	}
	return append(levels, Level{need, v.s.Now})
}

// bound keeps want within the policy's bounds and tells where they matter.
func (v *view) bound(want int, reason string) (int, string) {
	if want > v.max {
		return v.max, reason + fmt.Sprintf("; the maximum is %d", v.max)
	}
	if want < v.min {
		return v.min, reason + fmt.Sprintf("; the minimum is %d", v.min)
	}
	return want, reason
}

// hold is how long fewer workers must have been enough.
func (v *view) hold() float64 {
	if v.arrival > 0 {
		return max(v.p.StreamHold, v.lead90)
	}
	return max(v.p.Hold, v.lead90)
}

// deadband is the smallest number of workers worth ending: while a stream flows a tenth of them, and a fifth
// of a small fleet, where chance weighs more.
func (v *view) deadband(staff int) int {
	if v.arrival == 0 {
		return 1
	}
	return max((staff+9)/10, min(3, (staff+4)/5))
}

// keep counts the workers that stay although fewer would do: those whose time is paid and, when nothing
// arrives, those that hold an image. In a stream some always do, and are drained.
func (v *view) keep() int {
	keep := min(v.idle, max(0, v.s.Prepaid))
	if v.arrival == 0 {
		keep += v.busy
	}
	return keep
}

// remember counts how often the queue was seen empty.
func (v *view) remember() Memory {
	m := v.s.Last
	if !v.empty() {
		m.Empty, m.EmptySince, m.EmptyCount = 0, time.Time{}, time.Time{}
		return m
	}
	counted := v.counted()
	if m.Empty == 0 || m.EmptySince.IsZero() {
		m.Empty, m.EmptySince, m.EmptyCount = 1, counted, counted
	} else if counted.After(m.EmptyCount) {
		m.Empty, m.EmptyCount = m.Empty+1, counted
	}
	return m
}

// empty reports whether there is nothing in the queue. Approximate counts have been seen to tell for ever of
// leased messages that never were (https://github.com/kedacore/keda/issues/7845): they are believed only while
// some worker holds a lease.
func (v *view) empty() bool {
	if v.s.Exact {
		return v.s.Ready+v.s.Leased == 0
	}
	return v.s.Ready == 0 && v.busy == 0
}

func (v *view) surelyEmpty(m Memory) bool {
	return m.Empty >= emptyCounts && (v.s.Exact || m.EmptyCount.Sub(m.EmptySince).Seconds() >= emptyApprox)
}

func (v *view) emptyNeeds(m Memory) string {
	switch {
	case m.Empty == 0:
		return "the last worker stays for what is still leased"
	case v.s.Exact:
		return "the last worker stays until a second count says the same"
	}
	return fmt.Sprintf("the last worker stays until the counts, which may lag, have been empty for %s", seconds(emptyApprox))
}
