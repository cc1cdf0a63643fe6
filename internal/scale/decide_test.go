package scale

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ago(seconds float64) time.Time { return now.Add(-time.Duration(seconds * float64(time.Second))) }

// slow is the policy for the reference's workers: 12.2 s for each image.
func slow(max int) Policy {
	p := Cloud(max)
	p.Rate = 1 / 12.2
	return p
}

func atLeast(min int, p Policy) Policy {
	p.Min = min
	return p
}

// low is the memory of a controller that has wanted no more than peak workers for some seconds.
func low(seconds float64, peak int) Memory {
	return Memory{Want: 9, Needed: []Level{{99, ago(seconds)}, {peak, ago(1)}}}
}

// empty is the memory of one that has also seen the queue empty, count times over some seconds.
func empty(lowFor float64, counts int, over float64) Memory {
	m := low(lowFor, 0)
	m.Empty, m.EmptySince, m.EmptyCount = counts, ago(over), ago(1)
	return m
}

func TestDecide(t *testing.T) {
	reference := Cloud(19)
	reference.Name = Backlog
	for _, c := range []struct {
		name string
		p    Policy
		s    Seen
		want int
		says string
	}{
		// What is started.
		{"a hundred images and a fast worker alive: a second would come when the work is done (kedacore/keda#5488)",
			Cloud(19), Seen{Ready: 100, Exact: true, Idle: 1}, 1,
			"100 images wait; 1 worker at 20 img/s finishes in 5.0 s and a second would arrive after 26 s, when the work is done: 1 worker"},
		{"a hundred images and no worker: one is started, since a second saves less than it costs",
			Cloud(19), Seen{Ready: 100, Exact: true}, 1, "one more would finish in 28.5 s, save 125 image-seconds of waiting (worth 37.5 worker-seconds) and cost 57.7: 1 worker"},
		{"a single image and no worker: one is started", Cloud(19), Seen{Ready: 1, Exact: true}, 1, "1 image waits; 1 worker"},
		{"the reference's images: 17 workers need six rounds of 12.2 s, and so would its own 19",
			slow(19), Seen{Ready: 100, Exact: true}, 17, "17 workers at 0.082 img/s finish in 99.2 s, 16 in 111 s; one more would finish no earlier"},
		{"two thousand images are worth many workers", Cloud(100), Seen{Ready: 2000, Exact: true}, 23, "23 workers at 20 img/s finish in 30.4 s, 22 in 30.6 s"},
		{"on one's own machine a worker comes in a third of a second: all cores", Local(4), Seen{Ready: 100, Exact: true, Idle: 1}, 4, "4 workers, the maximum"},
		{"the measured rate counts, not the believed one", Cloud(19), Seen{Ready: 100, Exact: true, Rate: 1 / 12.2}, 17, "0.082 img/s"},
		{"the measured start-up time counts, not the believed one", Cloud(19), Seen{Ready: 100, Exact: true, Idle: 1, Startup: Startup{P50: 300, P90: 400}}, 1, "a second would arrive after 5 min"},

		// Capacity that is on its way.
		{"workers that start are counted: nobody is asked for twice (keda#1323, llm-d-autoscaling#1019)",
			slow(19), Seen{Ready: 100, Exact: true, Starting: []Starting{{17, ago(20)}}}, 17, "17 workers"},
		{"those that start are counted with the time they still need: when they are nearly there, more backlog is theirs",
			Cloud(19), Seen{Ready: 300, Exact: true, Starting: []Starting{{2, ago(25)}}}, 2, "when the work is done: 2 workers"},
		{"a worker that was asked for long ago is not counted on", Cloud(19), Seen{Ready: 100, Exact: true, Starting: []Starting{{1, ago(600)}}}, 2,
			"1 worker never came and is not counted on"},

		// A stream.
		{"a steady stream gets the workers that it keeps busy and some for chance", Cloud(100), Seen{Ready: 2, Leased: 11, Exact: true, Arrival: 200, Busy: 11}, 12,
			"2 images wait, 11 are in work; 200 images arrive each second, the work of 10 workers at 20 img/s, and one more than 12 would cost more than the waiting that it saves: 12 workers"},
		{"a stream beyond the maximum is told as such", Cloud(5), Seen{Ready: 100, Exact: true, Arrival: 200, Busy: 2}, 5,
			"even 5 workers at 20 img/s cannot keep up, so the backlog grows"},
		{"a backlog of minutes and a stream: enough for both", Cloud(100), Seen{Ready: 6000, Leased: 10, Exact: true, Arrival: 200, Busy: 10, Idle: 2}, 67, "6000 images wait, 10 are in work and 200 more arrive"},

		// Bounds.
		{"far more is wanted than may be: the maximum, and not none (elastic-ci-stack-for-aws#734)", Cloud(10), Seen{Ready: 1e6, Exact: true}, 10, "10 workers, the maximum"},
		{"more workers are alive than may be: some go at once", Cloud(10), Seen{Ready: 1e6, Exact: true, Busy: 16}, 10, "the maximum is 10"},
		{"a maximum of none is kept", Policy{Name: Breakeven, Rate: 1, WaitWorth: 1}, Seen{Ready: 10, Exact: true}, 0, "10 images wait"},
		{"the minimum is looked at before anybody is drained (hashicorp/nomad-autoscaler#1290)",
			atLeast(2, Cloud(10)), Seen{Exact: true, Idle: 5, Last: empty(300, 5, 60)}, 2, "the minimum is 2"},
		{"the minimum stands when there is no work", atLeast(2, Cloud(10)), Seen{Exact: true}, 2, "nothing waits and nothing arrives: 0 workers; the minimum is 2"},

		// Counts that are wrong.
		{"negative counts are none, and lead to no negative number of workers (nomad 0.4.7)", Cloud(10), Seen{Ready: -5, Leased: -1, Exact: true}, 0,
			"nothing waits and nothing arrives: 0 workers (not possible and so left out: ready, leased)"},
		{"a queue that could not be counted for a while changes nothing (keda#7657)", Cloud(10), Seen{Ready: 5000, Counted: ago(45), Exact: true, Idle: 3}, 3,
			"the queue was last counted 45 s ago, so nothing changes until it is counted again: 3 workers"},
		{"nor does it end the workers", Cloud(10), Seen{Counted: ago(45), Exact: true, Idle: 3, Last: empty(300, 5, 60)}, 3, "nothing changes"},
		{"a leased count that no worker stands behind keeps no fleet for ever (keda#7845)", Cloud(10), Seen{Leased: 3, Idle: 2, Last: empty(300, 40, 120)}, 0, "nothing waits, and no worker alive holds the 3 images"},
		{"where counts are exact it means a lease that will pass: one worker stays for it", Cloud(10), Seen{Leased: 3, Exact: true, Idle: 2, Last: low(300, 0)}, 1, "1 worker takes them when their leases pass"},
		{"and one is started for it where all have died, since a queue may count it as leased until somebody asks", Cloud(10), Seen{Leased: 3, Exact: true, Last: low(300, 0)}, 1, "1 worker takes them when their leases pass"},
		{"a draining worker may hold what is leased, and none is started for it", Cloud(10), Seen{Leased: 1, Exact: true, Finishing: 1}, 0, "workers that are about to end finish what is still leased: 0 workers"},
		{"nor by the reference's policy", reference, Seen{Leased: 1, Exact: true, Finishing: 1}, 0, "0 workers"},
		{"and one that is there stays until it is done", Cloud(10), Seen{Leased: 1, Exact: true, Idle: 1, Finishing: 1, Last: low(300, 0)}, 1, "the last worker stays for what is still leased"},
		{"in a stream one is wanted anyway", Cloud(10), Seen{Leased: 1, Exact: true, Finishing: 1, Arrival: 5}, 2, "nothing waits and 5 more arrive each second"},
		{"a first count of nothing may be wrong (keda#3860: 0, 0, 46545, 0): one worker stays", Cloud(10), Seen{Exact: true, Idle: 4, Last: low(300, 0)}, 1, "until a second count says the same"},
		{"a second count of nothing is believed", Cloud(10), Seen{Exact: true, Idle: 1, Last: empty(300, 1, 1)}, 0, "nothing waits and nothing arrives: 0 workers"},
		{"the same count looked at twice is one count", Cloud(10), Seen{Counted: ago(1), Exact: true, Idle: 1, Last: empty(300, 1, 1)}, 1, "second count"},
		{"approximate counts of nothing must last a minute (SQS)", Cloud(10), Seen{Idle: 1, Last: empty(300, 20, 30)}, 1, "have been empty for 60 s"},
		{"and are believed then", Cloud(10), Seen{Idle: 1, Last: empty(300, 20, 61)}, 0, "0 workers"},
		{"a rate that is no number is not known", Cloud(19), Seen{Ready: 100, Exact: true, Rate: math.NaN()}, 1, "(not possible and so left out: rate)"},
		{"numbers without end are not known", Cloud(19), Seen{Ready: 100, Exact: true, Rate: math.Inf(1), Arrival: math.Inf(1), Startup: Startup{math.Inf(1), math.NaN()}}, 1, "100 images wait"},

		// Scale-in.
		{"after the peak the workers stay for a while (ray#18925)", Cloud(19), Seen{Ready: 3, Leased: 2, Exact: true, Busy: 2, Idle: 15}, 17, "17 workers stay until fewer have been enough for 31.2 s"},
		{"and while a stream flows for much longer", Cloud(19), Seen{Leased: 2, Exact: true, Busy: 2, Idle: 15, Arrival: 40, Last: low(100, 5)}, 17, "enough for 2 min"},
		{"then down to the most that were needed in that time, not to what is needed now", Cloud(19), Seen{Leased: 2, Exact: true, Busy: 2, Idle: 15, Last: low(60, 6)}, 6, "2 workers would do"},
		{"a small difference is not worth a change while a stream flows (knative/serving#3153)", Cloud(19), Seen{Leased: 9, Exact: true, Busy: 9, Idle: 4, Arrival: 180, Last: low(400, 11)}, 13, "to end so few is not worth a change"},
		{"a worker that holds an image stays although the counts know of none", Cloud(19), Seen{Exact: true, Busy: 3, Idle: 7, Last: empty(300, 5, 60)}, 3, "3 workers stay, holding an image"},
		{"a worker whose hour is paid stays (Woodpecker)", Cloud(19), Seen{Exact: true, Idle: 7, Prepaid: 4, Last: empty(300, 5, 60)}, 4, "4 workers stay"},
		{"a new burst ends all thoughts of scale-in", Cloud(19), Seen{Ready: 9000, Exact: true, Idle: 3, Last: empty(300, 5, 60)}, 19, "9000 images wait"},

		// The reference's policy.
		{"backlog: one worker for five images", reference, Seen{Ready: 12, Exact: true}, 3, "12 images wait, one worker for each 5: 3 workers"},
		{"backlog: nineteen at most", reference, Seen{Ready: 100, Exact: true}, 19, "20 workers; the maximum is 19"},
		{"backlog: none ends before the queue is empty", reference, Seen{Ready: 1, Exact: true, Idle: 19}, 19, "1 image waits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Now = now
			d := Decide(c.p, c.s)
			if d.Want != c.want || !strings.Contains(d.Reason, c.says) {
				t.Errorf("wants %d: %s\nexpected %d: …%s…", d.Want, d.Reason, c.want, c.says)
			}
		})
	}
}

// The whole of a burst, second by second: nothing more is asked for while the workers start, nobody goes while
// there is work for them, and in the end all go.
func TestBurst(t *testing.T) {
	p := Cloud(19)
	var last Memory
	var starting []Starting
	backlog, alive, changes := 3000.0, 0, 0
	for second := range 200 {
		at := now.Add(time.Duration(second) * time.Second)
		if len(starting) > 0 && at.Sub(starting[0].Asked) >= 26*time.Second {
			alive, starting = alive+starting[0].Count, starting[1:]
		}
		busy := min(alive, int(backlog))
		d := Decide(p, Seen{Now: at, Ready: int64(backlog) - int64(busy), Leased: int64(busy), Exact: true,
			Busy: busy, Idle: alive - busy, Starting: starting, Last: last})
		last = d.Next
		switch change := d.Change(); {
		case change > 0:
			starting = append(starting, Starting{change, at})
			changes++
		case change < 0 && busy > 0:
			t.Fatalf("after %d s with %d at work: %s", second, busy, d.Reason)
		case change < 0:
			alive += change
			changes++
		}
		backlog = max(0, backlog-20*float64(busy))
	}
	if alive != 0 || changes > 3 {
		t.Errorf("%d workers are left after %d changes", alive, changes)
	}
}

// What nothing may break: bounds, a reason, a decision that can be written down, and the same answer twice.
func check(t *testing.T, p Policy, s Seen) Decision {
	t.Helper()
	d := Decide(p, s)
	most, least := max(0, p.Max), min(max(0, p.Min), max(0, p.Max))
	if d.Want > most || d.Want < least {
		t.Errorf("%d workers are not within %d to %d", d.Want, p.Min, p.Max)
	}
	if d.Reason == "" || strings.Contains(d.Reason, "NaN") || strings.Contains(d.Reason, "Inf") {
		t.Errorf("no sentence: %q", d.Reason)
	}
	line, err := json.Marshal(d)
	if err != nil {
		t.Fatalf("cannot be written down: %v", err)
	}
	var read Decision
	if err := json.Unmarshal(line, &read); err != nil {
		t.Fatal(err)
	}
	if again := Decide(read.Policy, read.Seen); again.Want != d.Want {
		t.Errorf("decided again from what was written down: %d and not %d workers\n%s\n%s", again.Want, d.Want, d.Reason, again.Reason)
	}
	return d
}

func random(rng *rand.Rand) Seen {
	big := func() int64 { return int64(math.Exp(rng.Float64()*16)) - 1 }
	s := Seen{Now: now, Ready: big(), Leased: big() / 100, Exact: rng.IntN(2) == 0, Busy: rng.IntN(40), Idle: rng.IntN(20),
		Rate: math.Exp(rng.Float64()*8 - 4), Startup: Startup{P50: rng.Float64() * 60}}
	if rng.IntN(2) == 0 {
		s.Arrival = math.Exp(rng.Float64()*10 - 3)
	}
	for range rng.IntN(4) {
		s.Starting = append(s.Starting, Starting{rng.IntN(10), ago(rng.Float64() * 100)})
	}
	return s
}

func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		p := Cloud(1 + rng.IntN(200))
		p.Min = rng.IntN(p.Max + 1)
		s := random(rng)
		d := check(t, p, s)

		dearer := p
		dearer.WaitWorth *= 4
		if impatient := Decide(dearer, s); impatient.Want < d.Want && s.Busy > 0 {
			t.Errorf("waiting is worth more and %d workers became %d\n%s\n%s", d.Want, impatient.Want, d.Reason, impatient.Reason)
		}
		wider := p
		wider.Max += 50
		if more := Decide(wider, s); more.Want < d.Want && s.Busy > 0 {
			t.Errorf("more are allowed and %d workers became %d\n%s\n%s", d.Want, more.Want, d.Reason, more.Reason)
		}
		s.Busy = max(1, s.Busy)
		before := Decide(p, s)
		s.Ready += 1 + s.Ready/3
		if after := Decide(p, s); after.Want < before.Want {
			t.Errorf("more images wait and %d workers became %d\n%s\n%s", before.Want, after.Want, before.Reason, after.Reason)
		}
	}
}

func FuzzDecide(f *testing.F) {
	f.Add(int64(100), int64(1), 0.0, 20.0, 26.0, 1, 0, 1, 20, 0, true, 19)
	f.Add(int64(-1), int64(math.MaxInt64), math.NaN(), -1.0, math.Inf(1), -1, 1<<40, -7, -50, 4, false, -1)
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), 1e300, 1e-300, 1e300, 5, 5, 5, 1_000_000, 5, true, math.MaxInt32)
	f.Fuzz(func(t *testing.T, ready, leased int64, arrival, rate, startup float64, busy, idle, starting, age, emptyCounts int, exact bool, most int) {
		s := Seen{Now: now, Ready: ready, Leased: leased, Exact: exact, Arrival: arrival, Rate: rate, Startup: Startup{P50: startup, P90: startup},
			Busy: busy % 1e6, Idle: idle % 1e6, Starting: []Starting{{starting % 1e6, now.Add(-time.Duration(age%1e6) * time.Second)}},
			Last: Memory{Empty: emptyCounts, EmptySince: ago(float64(age % 1000)), Needed: []Level{{busy, ago(float64(age % 1000))}, {starting, ago(float64(idle % 100))}}}}
		for _, p := range []Policy{Cloud(most), Local(most), slow(most)} {
			check(t, p, s)
			p.Name = Backlog
			check(t, p, s)
		}
		if eta, p90 := Predict(Cloud(19), s, ready); math.IsNaN(eta) || math.IsNaN(p90) || eta < 0 || p90 < eta {
			t.Errorf("%d images are predicted to take %v s, %v s at most", ready, eta, p90)
		}
	})
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{Local(4), Cloud(19), slow(1)} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	bad := Policy{Name: "magic", Min: 3, Max: -1, WaitWorth: math.NaN(), Startup: -1, Price: math.Inf(1)}
	err := bad.Validate()
	for _, say := range []string{`policy "magic" is not known: choose breakeven or backlog`, "largest number of workers is -1", "contradict",
		"rate of 0 images", "start-up time is -1", "price is +Inf"} {
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q is missing in %v", say, err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	s := Seen{Now: now, Ready: 200_000, Leased: 5000, Exact: true, Arrival: 100_000, Busy: 4900}
	for i := range 25 {
		s.Starting = append(s.Starting, Starting{3, ago(float64(i))})
	}
	for b.Loop() {
		Decide(Cloud(10_000), s)
	}
}

func TestWorkersWhoseTimeIsPaid(t *testing.T) {
	now := time.Now()
	ages := func(seconds ...int) (at []time.Time) {
		for _, s := range seconds {
			at = append(at, now.Add(-time.Duration(s)*time.Second))
		}
		return at
	}
	cloud, hourly := Cloud(19), Cloud(19)
	hourly.BillUnit, hourly.BillAtLeast = 3600, 3600
	for _, c := range []struct {
		name    string
		policy  Policy
		startup float64
		want    int
	}{
		{"by the second and for a minute at least: the first 34 s of a worker that takes 26 s to start", cloud, 0, 2},
		{"the same, as measured: the first 20 s where it takes 40 s", cloud, 40, 1},
		{"by the hour: all but the last 26 s of each", hourly, 0, 5},
		{"on this machine: nothing is billed", Local(2), 0, 0},
	} {
		if got := c.policy.prepaid(now, ages(5, 30, 50, 3500, 3595, 3700), c.startup); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
