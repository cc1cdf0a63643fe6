package scale

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestPredict(t *testing.T) {
	reference := slow(19)
	for _, c := range []struct {
		name     string
		p        Policy
		s        Seen
		ahead    int64
		eta, p90 float64
	}{
		{"no images take no time", Cloud(19), Seen{Idle: 1}, 0, 0, 0},
		{"one worker does 20 a second", Cloud(19), Seen{Idle: 1}, 100, 5, 6.5},
		{"one image takes its own time on any number of workers", reference, Seen{Idle: 19}, 1, 12.2, 15.86},
		{"images are whole: seven on three workers are three rounds", reference, Seen{Idle: 3}, 7, 36.6, 47.58},
		{"a worker that starts counts when it is there, and in bad cases later",
			Cloud(19), Seen{Starting: []Starting{{1, ago(6)}}}, 100, 25, 32.5},
		{"a slow start weighs more than the rest of the doubt",
			Cloud(19), Seen{Starting: []Starting{{1, ago(6)}}, Startup: Startup{26, 60}}, 100, 25, 59},
		{"what was decided and not yet done counts too", Cloud(19), Seen{Last: Memory{Want: 1}}, 100, 31, 40.3},
		{"no worker and none wanted: never", Cloud(19), Seen{}, 1, math.Inf(1), math.Inf(1)},
		{"the calibration stretches the doubtful end", Cloud(19), Seen{Idle: 1, Stretch: 2}, 100, 5, 10},
		{"and never to less than a tenth more", Cloud(19), Seen{Idle: 1, Stretch: 0.5}, 100, 5, 5.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Now = now
			eta, p90 := Predict(c.p, c.s, c.ahead)
			if !near(eta, c.eta) || !near(p90, c.p90) {
				t.Errorf("%.4g s, at most %.4g s; expected %.4g and %.4g", eta, p90, c.eta, c.p90)
			}
		})
	}
}

func near(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-3 }

func TestCalibration(t *testing.T) {
	var c Calibration
	if c.Within20() != 0 || c.Stretch() != 0 {
		t.Error("a new calibration claims to know something")
	}
	for _, took := range []float64{10, 11, 12, 8.1, 9, 10, 10, 25, 30, 7} {
		c.Observe(10, took)
	}
	c.Observe(0, 5)
	c.Observe(10, math.NaN())
	c.Observe(math.Inf(1), 3)
	c.Observe(0.01, 0.1) // too short to matter
	if c.Count() != 10 || !near(c.Within20(), 0.7) || !near(c.Stretch(), 2.5) {
		t.Errorf("%d observed, %v within a fifth, nine of ten in %v times the time", c.Count(), c.Within20(), c.Stretch())
	}
	for range calibrationWindow {
		c.Observe(0.1, 0.6) // nearly as short as what does not matter
	}
	if c.Within20() != 1 || !near(c.Stretch(), 1.2) {
		t.Errorf("short jobs count as wrong: %v, %v", c.Within20(), c.Stretch())
	}
	for range calibrationWindow {
		c.Observe(10, 10)
	}
	if c.Count() != calibrationWindow || c.Within20() != 1 || c.Stretch() != 1 {
		t.Errorf("the old is not forgotten: %d, %v, %v", c.Count(), c.Within20(), c.Stretch())
	}
}

// Nine of ten jobs must be done by the stretched time once it has been learned.
func TestStretchCovers(t *testing.T) {
	var c Calibration
	rng := rand.New(rand.NewPCG(3, 4))
	took := func() float64 { return 5 * math.Exp(0.4*rng.NormFloat64()) }
	for range calibrationWindow {
		c.Observe(5, took())
	}
	_, p90 := Predict(Cloud(19), Seen{Now: now, Idle: 1, Stretch: c.Stretch()}, 100)
	kept := 0
	for range 10_000 {
		if took() <= p90 {
			kept++
		}
	}
	if kept < 8600 || kept > 9400 {
		t.Errorf("%d of 10000 were done by the time that nine of ten should be", kept)
	}
}
