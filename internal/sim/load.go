package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Batch is a number of images that arrive at one time, or evenly over some seconds from it.
type Batch struct {
	At    float64
	Over  float64
	Count int64
}

// time is when image i of the batch, from 0, arrives.
func (b Batch) time(i int64) float64 {
	if b.Over == 0 {
		return b.At
	}
	return b.At + b.Over*(float64(i)+0.5)/float64(b.Count)
}

// split divides the batch into what has arrived by now and, where not all has, the rest.
func (b Batch) split(now float64) (Batch, *Batch) {
	if b.At+b.Over <= now {
		return b, nil
	}
	n := int64(float64(b.Count) * (now - b.At) / b.Over)
	rest := Batch{At: now, Over: b.At + b.Over - now, Count: b.Count - n}
	return Batch{At: b.At, Over: now - b.At, Count: n}, &rest
}

// Load is what arrives, and when.
type Load struct {
	Name   string
	Images int64   // how many, about: it decides whether each is followed
	Length float64 // seconds
	// Open begins the load. The batches come in order of time; the same seed gives the same ones.
	Open func(seed uint64) (next func() (Batch, bool))
}

// Shapes are the names that [Shape] knows.
var Shapes = []string{"reference", "burst", "diurnal", "poisson", "steps", "flat"}

// Shape returns a load of a well-known form. mean is the images per second on average, 0 for a default that suits the
// capacity of the whole fleet; length is its seconds, 0 for the usual.
//
//   - reference: 100 images at once, as the reference system was measured with
//   - burst: batches at random moments, one in five minutes on average, of log-normal size (σ = 1)
//   - diurnal: a day whose rate follows a sine between a tenth of its mean and 1.9 times it
//   - poisson: a steady stream with nothing but chance in it
//   - steps: six rates that change at once, by up to sixteen times
//   - flat: a steady stream whose rate is redrawn within ±20 % every ten seconds
func Shape(name string, c Config, mean, length float64) (Load, error) {
	capacity := float64(c.Max) * c.Rate
	pick := func(x, usual float64) float64 {
		if x > 0 {
			return x
		}
		return usual
	}
	type rates func(mean, length float64, rng *rand.Rand) func(t float64) float64
	stream := func(share, usual float64, rates rates) Load {
		m, l := pick(mean, share*capacity), pick(length, usual)
		return Load{Name: name, Images: int64(m * l), Length: l, Open: func(seed uint64) func() (Batch, bool) {
			rng := rand.New(rand.NewPCG(seed, 2))
			return arrivals(l, rng, rates(m, l, rng))
		}}
	}
	switch name {
	case "reference":
		return Load{Name: name, Images: 100, Open: func(uint64) func() (Batch, bool) {
			return replay([]Batch{{Count: 100}})
		}}, nil
	case "burst":
		m, l := pick(mean, 0.02*capacity), pick(length, 4*3600)
		return Load{Name: name, Images: int64(m * l), Length: l, Open: func(seed uint64) func() (Batch, bool) {
			return bursts(m, l, rand.New(rand.NewPCG(seed, 3)))
		}}, nil
	case "diurnal":
		return stream(0.25, 86400, func(mean, length float64, _ *rand.Rand) func(float64) float64 {
			return func(t float64) float64 { return mean * (1 - 0.9*math.Cos(2*math.Pi*t/length)) }
		}), nil
	case "poisson":
		return stream(0.5, 3600, func(mean, _ float64, _ *rand.Rand) func(float64) float64 {
			return func(float64) float64 { return mean }
		}), nil
	case "steps":
		steps := []float64{0.1, 0.5, 0.2, 0.8, 0.05, 0.4} // on average 2.05 ÷ 6
		return stream(2.05/6, 3600, func(mean, length float64, _ *rand.Rand) func(float64) float64 {
			return func(t float64) float64 {
				i := min(int(t/length*float64(len(steps))), len(steps)-1)
				return steps[i] * mean * 6 / 2.05
			}
		}), nil
	case "flat":
		return stream(0.5, 3600, func(mean, _ float64, rng *rand.Rand) func(float64) float64 {
			now, until := 0.0, 0.0
			return func(t float64) float64 {
				if t >= until {
					now, until = mean*(0.8+0.4*rng.Float64()), t+10
				}
				return now
			}
		}), nil
	}
	return Load{}, fmt.Errorf("the shape %q is not known: choose one of %s", name, strings.Join(Shapes, ", "))
}

// replay gives batches that lie in memory.
func replay(batches []Batch) func() (Batch, bool) {
	i := 0
	return func() (Batch, bool) {
		if i == len(batches) {
			return Batch{}, false
		}
		i++
		return batches[i-1], true
	}
}

// singles is the rate above which the images of a second are one even batch and not each at a random moment.
const singles = 2000.0

// arrivals is a Poisson process whose rate is asked for once in a second.
func arrivals(length float64, rng *rand.Rand, rate func(t float64) float64) func() (Batch, bool) {
	second, at, now := -1.0, 0.0, 0.0
	return func() (Batch, bool) {
		for {
			if second >= 0 && now > 0 && now <= singles {
				if at += rng.ExpFloat64() / now; at < second+1 {
					return Batch{At: at, Count: 1}, true
				}
			}
			if second++; second >= length {
				return Batch{}, false
			}
			at, now = second, rate(second)
			if now > singles {
				n := int64(math.Round(now + math.Sqrt(now)*rng.NormFloat64()))
				return Batch{At: second, Over: 1, Count: max(1, n)}, true
			}
		}
	}
}

// bursts is batches at random moments.
func bursts(mean, length float64, rng *rand.Rand) func() (Batch, bool) {
	const gap, sigma = 300.0, 1.0
	size := mean * gap / math.Exp(sigma*sigma/2) // the median that gives this mean
	now := 0.0
	return func() (Batch, bool) {
		now += rng.ExpFloat64() * gap
		n := int64(math.Ceil(size * math.Exp(sigma*rng.NormFloat64())))
		return Batch{At: now, Count: max(1, n)}, now < length
	}
}

// mostImages bounds a load.
const mostImages = 1 << 50

// loadOf makes a load of batches in memory, in any order of time, which it moves to begin at 0.
func loadOf(name string, batches []Batch) (Load, error) {
	if len(batches) == 0 {
		return Load{}, fmt.Errorf("%s holds no arrivals", name)
	}
	slices.SortStableFunc(batches, func(a, b Batch) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	first, images := batches[0].At, int64(0)
	for i := range batches {
		batches[i].At -= first
		if batches[i].Count > mostImages-images {
			return Load{}, fmt.Errorf("%s holds more than %d images: no fleet would ever finish", name, int64(mostImages))
		}
		images += batches[i].Count
	}
	last := batches[len(batches)-1]
	return Load{Name: name, Images: images, Length: last.At + last.Over, Open: func(uint64) func() (Batch, bool) {
		return replay(batches)
	}}, nil
}
