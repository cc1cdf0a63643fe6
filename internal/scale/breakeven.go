package scale

import (
	"fmt"
	"math"
)

// byBreakeven is the rule. Nothing that is asked for now changes anything before the start-up time has passed:
// so first the backlog is followed until that moment. If it is gone by then, no worker is started.
// Otherwise what is left then, and the images that keep arriving, are shared among the workers that will be
// there and k more, where k grows as long as one more saves more waiting than it costs.
func (v *view) byBreakeven() (int, string) {
	stream := v.streamWorkers()
	left, gone := v.fluid(v.work, v.arrival, v.busy+v.idle, v.coming, v.lead)
	base := max(v.hands(), stream)
	switch {
	case v.work == 0 && v.arrival == 0:
		return 0, v.nothingWaits()
	case left < 0.5 && base > 0:
		need := stream + v.worthKeeping(stream)
		if base > v.hands() {
			return v.lost + base, v.streamReason(base)
		}
		return need, v.enoughReason(need, gone)
	}
	left = max(left, 0.5)
	k := v.worthStarting(base, left)
	n := base + k
	if v.busy == 0 && v.arrival == 0 { // all begin together: keep the fewest that need no more rounds of whole images
		n = max(base, int(math.Ceil(math.Ceil(left)/rounds(left, n))))
	}
	return v.lost + n, v.backlogReason(n, base, k, left)
}

// rounds is how many images, one after another, somebody of n workers has to do.
func rounds(left float64, n int) float64 { return math.Ceil(math.Ceil(left) / float64(n)) }

// worthStarting is how many workers beyond base the backlog left, in images, is worth at the moment when they
// arrive. Worker i is worth starting while it makes the waiting smaller by more than its overhead, which is the time
// for which it is billed and does not work.
func (v *view) worthStarting(base int, left float64) int {
	most := min(v.max-v.lost-base, int(math.Ceil(left)))
	return v.breakeven(base, most, left, v.overhead)
}

// worthKeeping is how many workers beyond base, of those that are there, the present backlog is worth: they
// cost nothing but the time until it is gone. A stream keeps as many images in work as it needs workers, give
// or take four standard deviations of chance: those are no backlog.
func (v *view) worthKeeping(base int) int {
	load := v.arrival / v.rate
	backlog := max(0, v.work-load-4*math.Sqrt(load))
	most := min(v.hands()-base, int(math.Ceil(backlog)))
	return v.breakeven(base, most, backlog, func(t float64) float64 { return t })
}

// breakeven is the k, at most most, for which WaitWorth × waiting + k × cost(t) is least, where base+k workers
// drain the backlog in t seconds.
func (v *view) breakeven(base, most int, left float64, cost func(t float64) float64) int {
	lo, hi := 0, max(0, most) // the totals fall and then rise: find the first that the next one does not undercut
	for lo < hi {
		k := (lo + hi) / 2
		if saved, more := v.onMore(base, k, left, cost); math.IsInf(saved, 1) || v.p.WaitWorth*saved > more {
			lo = k + 1
		} else {
			hi = k
		}
	}
	return lo
}

// onMore is what worker base+k+1 saves, in image-seconds of waiting, and what it costs: k+1 workers that work for less time instead
// of k. The waiting is the triangle under the backlog: left × t ÷ 2.
func (v *view) onMore(base, k int, left float64, cost func(t float64) float64) (saved, more float64) {
	drain := func(k int) float64 { return left / max(0, float64(base+k)*v.rate-v.arrival) }
	now, then := drain(k), drain(k+1)
	if math.IsInf(now, 1) {
		return now, 0
	}
	return left * (now - then) / 2, float64(k+1)*cost(then) - float64(k)*cost(now)
}

// overhead is how many worker-seconds a new worker is billed beyond the t seconds for which it works.
func (v *view) overhead(t float64) float64 {
	return v.billed(v.lead+t+v.idleAfter()) - t
}

// idleAfter is how long a worker stands idle before it is ended.
func (v *view) idleAfter() float64 { return max(v.p.Hold, v.lead90) }

// billed is what t seconds of a worker cost, as worker-seconds. The last unit is taken as half used.
func (v *view) billed(t float64) float64 {
	return max(t+v.p.BillUnit/2, v.p.BillUnit, v.p.BillAtLeast)
}

// streamWorkers is the number of workers at which a steady stream costs least: workers, plus WaitWorth × the
// images that wait on average (both per second). The mean queue of n workers at utilisation ρ is
// ρ^√(2(n+1)) ÷ (1-ρ) (Sakasegawa, "An approximation formula L_q ≈ α·ρ^β/(1-ρ)", Ann. Inst. Statist. Math.
// 29, 1977, with α = 1 for random arrivals).
func (v *view) streamWorkers() int {
	load := v.arrival / v.rate
	if load <= 0 {
		return 0
	}
	total := func(n int) float64 {
		rho := load / float64(n)
		return float64(n) + v.p.WaitWorth*math.Pow(rho, math.Sqrt(2*float64(n+1)))/(1-rho)
	}
	lo := int(min(load, 1e6)) + 1 // the fewest that can keep up at all
	hi := lo + 2*int(math.Sqrt(v.p.WaitWorth*float64(lo))+2)
	if load >= float64(v.max) {
		return v.max
	}
	for lo < hi {
		n := (lo + hi) / 2
		if total(n+1) < total(n) {
			lo = n + 1
		} else {
			hi = n
		}
	}
	step := 1 + lo/streamSteps
	return min((lo+step-1)/step*step, v.max)
}

// streamSteps is how finely a large fleet follows its stream: in steps of a fiftieth, which cost 1 % on average
// and spare thousands of launches a day.
const streamSteps = 50

// outcome predicts what n workers lead to, if the difference is asked for, or ended, now.
func (v *view) outcome(n int) Outcome {
	alive, coming := v.busy+v.idle, v.coming
	extra := n - v.staff()
	if extra > 0 {
		coming = append(coming[:len(coming):len(coming)], recruit{extra, v.lead})
	} else if extra < 0 {
		alive, coming = v.without(-extra)
	}
	var t float64
	if v.arrival > 0 {
		_, t = v.fluid(v.work, v.arrival, alive, coming, math.Inf(1))
	} else {
		t = v.finish(v.work, alive, coming)
	}
	if math.IsInf(t, 1) {
		return Outcome{Workers: n, Finish: -1, WorkerSeconds: -1, USD: -1}
	}
	t = math.Round(t*1e6) / 1e6
	cost := float64(min(n, v.staff()))*t + float64(max(0, extra))*v.billed(t)
	return Outcome{Workers: n, Finish: t, WorkerSeconds: cost, USD: cost / 3600 * v.p.Price}
}

// without is what remains when n workers end: the last to come go first.
func (v *view) without(n int) (alive int, coming []recruit) {
	coming = append(coming, v.coming...)
	n = max(0, n-v.lost)
	for n > 0 && len(coming) > 0 {
		last := &coming[len(coming)-1]
		cut := min(n, last.count)
		n, last.count = n-cut, last.count-cut
		if last.count == 0 {
			coming = coming[:len(coming)-1]
		}
	}
	return max(0, v.busy+v.idle-n), coming
}

// byBacklog is the reference's rule: one worker for so many images, at most Max; none ends before the queue is
// empty. https://github.com/rrishabhx/aws-iaas-cloud-classifier, aws/autoscaler.py.
func (v *view) byBacklog() (int, string) {
	backlog := v.s.Ready + v.s.Leased
	if backlog == 0 {
		return 0, v.nothingWaits()
	}
	per := max(1, v.p.ImagesPerWorker)
	need := int(min((backlog+int64(per)-1)/int64(per), 1e6))
	reason := fmt.Sprintf("%s, one worker for each %d: %s", v.waits(), per, workers(need))
	if staff := v.staff(); staff > need {
		return staff, reason + fmt.Sprintf("; %s until nothing is queued", stay(staff))
	}
	return need, reason
}
