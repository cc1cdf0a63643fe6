package scale

import (
	"math"
	"slices"
	"time"
)

// ServiceRate learns how many images a worker does in a second while it has work. The zero value is ready to
// use. Old observations fade with the time worked, not with the time passed: a night without work does not
// make the rate forgotten.
type ServiceRate struct{ images, busy float64 }

// rateMemory is the busy time, in worker-seconds, over which old observations fade to 1/e.
const rateMemory = 120.0

// Observe notes that workers finished so many images in so many worker-seconds of holding a lease.
func (r *ServiceRate) Observe(images, busy float64) {
	if !(images >= 0) || !positive(busy) || math.IsInf(images, 0) {
		return
	}
	fade := math.Exp(-busy / rateMemory)
	r.images, r.busy = r.images*fade+images, r.busy*fade+busy
}

// PerSecond is the rate of one worker; 0 until an image was finished.
func (r *ServiceRate) PerSecond() float64 {
	if r.images <= 0 || r.busy <= 0 {
		return 0
	}
	return r.images / r.busy
}

// StartupTimes learns how long workers take to start, from the last 64. The zero value is ready to use.
type StartupTimes struct {
	times []float64
	next  int
	seen  Startup // of times
}

const startupWindow = 64

// Observe notes that a worker that was asked for at one moment was ready for work at another.
func (t *StartupTimes) Observe(asked, ready time.Time) {
	took := ready.Sub(asked).Seconds()
	if took < 0 {
		return
	}
	if len(t.times) < startupWindow {
		t.times = append(t.times, took)
	} else {
		t.times[t.next] = took
		t.next = (t.next + 1) % startupWindow
	}
	t.seen = Startup{P50: quantile(t.times, 0.5), P90: quantile(t.times, 0.9)}
}

// Startup is the median and the 90 % quantile; zero until one worker was observed.
func (t *StartupTimes) Startup() Startup { return t.seen }

// Arrivals learns at what rate images keep arriving. It tells a stream from a batch: a thousand images at once
// are no stream, however large their average, and nobody should be started for the next thousand. The zero
// value is ready to use.
//
// The last 20 s are cut into ten slots and the rate is the mean of the four slots in the middle by size. So a
// batch that takes less than 4 s to arrive leaves no trace, and a stream that began is known in full after
// 14 s; until then it is seen as backlog.
type Arrivals struct {
	counts [arrivalSlots]float64 // a ring
	newest int                   // the newest slot in it
	slot   int64                 // the number of that one, counted from the epoch
	total  int64
	began  bool
}

const (
	arrivalSlots = 10
	slotLength   = 2 * time.Second
	slotsLeftOut = 3 // at each end of the order
)

// Observe notes how many images had arrived in total at a moment. A total smaller than the one before begins
// a new count. A moment before the last one, of a clock that was set back, is taken as the newest, and time goes on from there.
func (a *Arrivals) Observe(now time.Time, total int64) {
	slot := now.UnixNano() / int64(slotLength)
	if !a.began {
		a.began, a.slot, a.total = true, slot, total
		return
	}
	a.forward(slot)
	if total > a.total {
		a.counts[a.newest] += float64(total - a.total)
	}
	a.total = total
}

func (a *Arrivals) forward(slot int64) {
	for range min(slot-a.slot, arrivalSlots) {
		a.newest = (a.newest + 1) % arrivalSlots
		a.counts[a.newest] = 0
	}
	a.slot = slot
}

// PerSecond is the rate of the stream as of the last observation.
func (a *Arrivals) PerSecond() float64 {
	sorted := a.counts
	slices.Sort(sorted[:])
	sum := 0.0
	for _, n := range sorted[slotsLeftOut : arrivalSlots-slotsLeftOut] {
		sum += n
	}
	return sum / (float64(arrivalSlots-2*slotsLeftOut) * slotLength.Seconds())
}
