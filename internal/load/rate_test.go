package load

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestRequestsComeAtTheRate(t *testing.T) {
	const length = 100 * time.Second
	for name, c := range map[string]struct {
		rate        string
		even        bool
		want, first float64 // in all, and in the first half
	}{
		"steady":      {"50/s", false, 5000, 2500},
		"by minute":   {"600/min", false, 1000, 500},
		"evenly":      {"50/s", true, 5000, 2500},
		"rising":      {"10/s..200/s", false, 10500, 2875},
		"falling":     {"200/s..10/s", false, 10500, 7625},
		"even rising": {"10/s..200/s", true, 10500, 2875},
	} {
		r, err := ParseRate(c.rate)
		if err != nil {
			t.Fatal(err)
		}
		r.Even = c.even
		var n, first float64
		var gaps, squares float64
		last := time.Duration(0)
		for at := range r.times(rand.New(rand.NewPCG(1, 2)), length) {
			if at > length {
				break
			}
			if at < last {
				t.Fatalf("%s: goes back in time", name)
			}
			gap := (at - last).Seconds()
			gaps, squares, last = gaps+gap, squares+gap*gap, at
			n++
			if at <= length/2 {
				first++
			}
		}
		slack := 4 * math.Sqrt(c.want)
		if c.even {
			slack = 2
		}
		if math.Abs(n-c.want) > slack || math.Abs(first-c.first) > slack {
			t.Errorf("%s: %v requests, %v of them in the first half; want %v and %v", name, n, first, c.want, c.first)
		}
		// The gaps of a Poisson process vary as much as they are long on average.
		if variation := math.Sqrt(squares/n-(gaps/n)*(gaps/n)) / (gaps / n); name == "steady" && math.Abs(variation-1) > 0.1 || name == "evenly" && variation > 0.01 {
			t.Errorf("%s: the gaps vary by %v of their mean", name, variation)
		}
	}
}

func TestARateThatEndsAtNothingEnds(t *testing.T) {
	n := 0
	for range (Rate{From: 10, To: 0.001, Even: true}).times(rand.New(rand.NewPCG(1, 1)), 10*time.Second) {
		if n++; n > 1000 {
			t.Fatal("it goes on after its end")
		}
	}
	if n < 49 || n > 51 {
		t.Errorf("%d requests, want 50", n)
	}
}

func TestWhatIsNoRateAndNoMix(t *testing.T) {
	for _, bad := range []string{"", "fast", "0/s", "-1/s", "1/day", "NaN", "Inf", "1e9/s", "1/s..", "..1/s"} {
		if r, err := ParseRate(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, r)
		}
	}
	for _, bad := range []string{"", "job", "jobx:1", "job0", "single:0", "single:x", "many:1", "single,,job10", "job100000"} {
		if m, err := ParseMix(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, m)
		}
	}
	m, err := ParseMix("single:8, job10:1,job100")
	if err != nil || m.String() != "single:8,job10:1,job100:1" {
		t.Errorf("read as %s, %v", m, err)
	}
	seen := map[string]int{}
	for chance := rand.New(rand.NewPCG(1, 1)); len(seen) < 3 || seen["single"] < 8000; {
		seen[m.pick(chance).Name]++
	}
	if seen["job10"] < 800 || seen["job10"] > 1200 {
		t.Errorf("picked %v, want 8:1:1", seen)
	}
}
