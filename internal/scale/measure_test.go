package scale

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestServiceRate(t *testing.T) {
	var r ServiceRate
	if r.PerSecond() != 0 {
		t.Error("a rate before anything was observed")
	}
	for range 100 {
		r.Observe(40, 2)
	}
	if !near(r.PerSecond(), 20) {
		t.Errorf("%v images per second and not 20", r.PerSecond())
	}
	r.Observe(0, 0) // a night without work
	r.Observe(math.NaN(), 1)
	r.Observe(5, math.Inf(1))
	r.Observe(-5, 1)
	if !near(r.PerSecond(), 20) {
		t.Errorf("what is no observation moved the rate to %v", r.PerSecond())
	}
	for range 300 {
		r.Observe(10, 2) // a larger model
	}
	if math.Abs(r.PerSecond()-5) > 0.2 {
		t.Errorf("after ten minutes of work at 5 a second the rate is still %v", r.PerSecond())
	}
}

func TestStartupTimes(t *testing.T) {
	var s StartupTimes
	if s.Startup() != (Startup{}) {
		t.Error("start-up times before anything was observed")
	}
	for i := range 10 {
		s.Observe(now, now.Add(time.Duration(20+i)*time.Second))
	}
	s.Observe(now, now.Add(-time.Second)) // clocks of two machines
	if got := s.Startup(); got != (Startup{P50: 24, P90: 28}) {
		t.Errorf("%+v", got)
	}
	for range startupWindow {
		s.Observe(now, now.Add(5*time.Second))
	}
	if got := s.Startup(); got != (Startup{P50: 5, P90: 5}) {
		t.Errorf("the old machines are not forgotten: %+v", got)
	}
}

// observe feeds totals second by second and returns the rate at the end.
func observe(seconds int, arrivals func(second int) int64) float64 {
	var a Arrivals
	total := int64(0)
	a.Observe(now, 0)
	for s := range seconds {
		total += arrivals(s)
		a.Observe(now.Add(time.Duration(s+1)*time.Second), total)
	}
	return a.PerSecond()
}

func TestArrivals(t *testing.T) {
	if r := observe(40, func(int) int64 { return 100 }); math.Abs(r-100) > 1 {
		t.Errorf("a stream of 100 a second is taken for %v", r)
	}
	for length := 1; length <= 4; length++ {
		for wait := range 25 {
			r := observe(length+wait, func(s int) int64 {
				if s < length {
					return 5000
				}
				return 0
			})
			if r != 0 {
				t.Errorf("%d s after a batch that took %d s it is taken for a stream of %v", wait, length, r)
			}
		}
	}
	for _, after := range []int{16, 20} {
		r := observe(after, func(int) int64 { return 100 })
		if math.Abs(r-100) > 15 {
			t.Errorf("%d s after it began a stream of 100 a second is taken for %v", after, r)
		}
	}
	if r := observe(120, func(s int) int64 {
		if s < 60 {
			return 100
		}
		return 0
	}); r != 0 {
		t.Errorf("a stream that ended a minute ago is taken for %v", r)
	}
}

func TestArrivalsGoOnWhereTheClockIsSetBack(t *testing.T) {
	var a Arrivals
	total := int64(0)
	stream := func(from time.Time, seconds int, each int64) {
		for s := range seconds {
			total += each
			a.Observe(from.Add(time.Duration(s)*time.Second), total)
		}
	}
	stream(now, 60, 100)
	stream(now.Add(-time.Hour), 1, 100)
	if r := a.PerSecond(); math.Abs(r-100) > 15 {
		t.Errorf("as the clock is set back a stream of 100 a second is taken for %v", r)
	}
	stream(now.Add(-time.Hour), 20, 0)
	if r := a.PerSecond(); r != 0 {
		t.Errorf("a stream that ended as the clock was set back is taken for %v", r)
	}
	stream(now.Add(-2*time.Hour), 20, 100)
	if r := a.PerSecond(); math.Abs(r-100) > 15 {
		t.Errorf("a stream of 100 a second that began as the clock was set back is taken for %v", r)
	}
}

func TestArrivalsNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	r := observe(300, func(int) int64 { return int64(80 + 40*rng.Float64()) })
	if math.Abs(r-100) > 8 {
		t.Errorf("a stream of 100 ± 20 a second is taken for %v", r)
	}
}

func TestArrivalsGarbage(t *testing.T) {
	var a Arrivals
	a.Observe(now, 1_000_000) // a controller that takes over
	for s := range 30 {
		a.Observe(now.Add(time.Duration(s)*time.Second), 1_000_000)
	}
	if a.PerSecond() != 0 {
		t.Errorf("what had arrived before is taken for a stream of %v", a.PerSecond())
	}
	a.Observe(now.Add(31*time.Second), 5)   // a count that began anew
	a.Observe(now.Add(-time.Hour), 10)      // a clock that was set back
	a.Observe(now.Add(1e6*time.Second), 20) // a long sleep
	if r := a.PerSecond(); r != 0 {
		t.Errorf("broken observations are taken for a stream of %v", r)
	}
}
