package sim

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var h histogram
	values := make([]float64, 10_000)
	for i := range values {
		values[i] = math.Exp(3 * rng.NormFloat64())
		h.add(values[i], 1)
	}
	slices.Sort(values)
	for _, q := range []float64{0.5, 0.95, 0.99} {
		want := values[int(q*float64(len(values)))]
		if got := h.quantile(q); math.Abs(got/want-1) > 0.01 {
			t.Errorf("the quantile %v is %v and was read as %v", q, want, got)
		}
	}
	h.add(values[0], -1)
	if h.total != 9999 || (&histogram{}).quantile(0.5) != 0 {
		t.Errorf("%v values are left", h.total)
	}
}

func TestBill(t *testing.T) {
	ec2 := tally{unit: 1, least: 60}
	ec2.bill(2, 100, 130) // half a minute is a minute
	ec2.bill(1, 100, 190.5)
	ec2.bill(1, -26, 100) // it stood before the run began
	if ec2.billed != 120+91+100 {
		t.Errorf("%v worker-seconds are billed", ec2.billed)
	}
	own := tally{}
	own.bill(3, 10, 10.5)
	if own.billed != 1.5 {
		t.Errorf("%v worker-seconds are billed", own.billed)
	}
}

// A series stays small, keeps its peaks and covers all of the time.
func TestSeries(t *testing.T) {
	var s Series
	for i := range 100_000 {
		backlog := 1.0
		if i == 77_777 {
			backlog = 1000
		}
		s.add(float64(i), backlog, 2, 3)
	}
	peak, last := 0.0, 0.0
	for i, p := range s.Points {
		peak = max(peak, p.Backlog)
		if i > 0 && p.At <= last {
			t.Fatalf("the point at %v follows that at %v", p.At, last)
		}
		last = p.At
	}
	if len(s.Points) > seriesPoints || peak != 1000 || last < 99_000 {
		t.Errorf("%d points until %v s, the highest %v", len(s.Points), last, peak)
	}
}

func TestSplit(t *testing.T) {
	b := Batch{At: 10, Over: 4, Count: 10}
	now, rest := b.split(11)
	if now != (Batch{At: 10, Over: 1, Count: 2}) || rest == nil || *rest != (Batch{At: 11, Over: 3, Count: 8}) {
		t.Errorf("%+v and %+v", now, rest)
	}
	if now, rest = b.split(14); now != b || rest != nil {
		t.Errorf("%+v and %+v", now, rest)
	}
}
