package scale

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"
)

var (
	toldNote   = regexp.MustCompile(` \([^()]*(never came|not possible)[^()]*\)$`)
	toldCount  = regexp.MustCompile(`(?:: (\d+) workers?(?:, the maximum)?|; (?:the last worker|(\d+) workers?) stays?[^;]*|; the (?:maximum|minimum) is (\d+)|(\d+) workers? would do|: (\d+) worker takes them when their leases pass)$`)
	toldWorth  = regexp.MustCompile(`worth ([0-9.e+-]+) worker-seconds\) and cost ([0-9.e+-]+)`)
	toldFewer  = regexp.MustCompile(`finish(?:es)? in ([0-9.]+) (ms|s|min|h), \d+ in ([0-9.]+) (ms|s|min|h)`)
	unitLength = map[string]float64{"ms": 0.001, "s": 1, "min": 60, "h": 3600}
)

// anySeen is some policy with something that it may meet.
func anySeen(rng *rand.Rand) (Policy, Seen) {
	p := Cloud(1 + rng.IntN(20))
	if rng.IntN(2) == 0 {
		p = Local(1 + rng.IntN(16))
	}
	p.Min = rng.IntN(2) * rng.IntN(p.Max+1)
	if rng.IntN(4) == 0 {
		p.Name = Backlog
	}
	start := []float64{0, 10, 15, 20, 26, 40}[rng.IntN(6)]
	s := Seen{
		Now: now, Exact: rng.IntN(3) > 0, Ready: int64(rng.IntN(4) * rng.IntN(1500)), Rate: []float64{0, 0.02, 0.08, 1, 5, 20, 500}[rng.IntN(7)],
		Startup: Startup{P50: start, P90: start * 1.2}, Busy: rng.IntN(3) * rng.IntN(6), Idle: rng.IntN(4),
	}
	if s.Busy > 0 {
		s.Leased = int64(s.Busy + rng.IntN(10))
	} else if rng.IntN(4) == 0 {
		s.Leased = int64(rng.IntN(5))
	}
	s.Finishing = rng.IntN(3) / 2
	if rng.IntN(2) == 0 {
		s.Arrival = float64(rng.IntN(200)) / 3
	}
	if rng.IntN(3) == 0 {
		s.Starting = []Starting{{rng.IntN(6), now.Add(-time.Duration(rng.IntN(50)) * time.Second)}}
	}
	return p, s
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// A reason ends with the number that was decided, and what it says of one worker more or less speaks for that number.
func TestReasonsSpeakForTheDecision(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		p, s := anySeen(rng)
		d := Decide(p, s)
		told := toldCount.FindStringSubmatch(toldNote.ReplaceAllString(d.Reason, ""))
		if told == nil {
			t.Fatalf("%d workers: %s", d.Want, d.Reason)
		}
		last := 1 // the last worker
		for _, n := range told[1:] {
			if n != "" {
				last = int(number(t, n))
			}
		}
		if last != d.Want {
			t.Errorf("%d workers: %s", d.Want, d.Reason)
		}
		if m := toldWorth.FindStringSubmatch(d.Reason); m != nil && number(t, m[1]) > number(t, m[2])*1.01 {
			t.Errorf("%d workers, and one more would save more than it costs: %s", d.Want, d.Reason)
		}
		if m := toldFewer.FindStringSubmatch(d.Reason); m != nil && number(t, m[1])*unitLength[m[2]] > number(t, m[3])*unitLength[m[4]]*1.01 {
			t.Errorf("%d workers are slower than fewer: %s", d.Want, d.Reason)
		}
		if t.Failed() {
			t.Fatalf("%+v", s)
		}
	}
}
