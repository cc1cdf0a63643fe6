package load

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Rate is how many requests come per second: as many all the time, or ever more, or fewer, from the beginning to the end.
type Rate struct {
	From, To float64 // requests per second
	Even     bool    // evenly, and not by chance: without it they come as a Poisson process
}

// mostRate bounds a rate: no generator on one machine reaches it.
const mostRate = 1e6

// ParseRate reads a rate like "50/s" or "600/min", or one that changes, like "10/s..200/s".
func ParseRate(text string) (Rate, error) {
	from, to, changes := strings.Cut(text, "..")
	var r Rate
	var err error
	if r.From, err = perSecond(from); err != nil {
		return r, err
	}
	if r.To = r.From; changes {
		r.To, err = perSecond(to)
	}
	return r, err
}

func perSecond(text string) (float64, error) {
	number, unit, _ := strings.Cut(strings.TrimSpace(text), "/")
	n, err := strconv.ParseFloat(number, 64)
	switch unit {
	case "", "s", "sec":
	case "m", "min":
		n /= 60
	case "h":
		n /= 3600
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || !(n > 0) || n > mostRate {
		return 0, fmt.Errorf("%q is not a rate: write it like 50/s or 600/min", text)
	}
	return n, nil
}

// times yields the moments of the requests, counted from the beginning, without end where the rate is steady. A rate that
// changes does so over length.
//
// A Poisson process of unit rate, or even steps of one, is stretched by the inverse of the expected number of requests until t,
// N(t) = From·t + k·t²/2 with k = (To − From)/length: Çinlar, Introduction to Stochastic Processes, 1975, section 4.7.
func (r Rate) times(chance *rand.Rand, length time.Duration) iter.Seq[time.Duration] {
	k := 0.0
	if r.From != r.To && length > 0 {
		k = (r.To - r.From) / length.Seconds()
	}
	return func(yield func(time.Duration) bool) {
		for n := 0.0; ; {
			step := 1.0
			if !r.Even {
				step = chance.ExpFloat64()
			}
			n += step
			t := n / r.From
			if k != 0 {
				root := r.From*r.From + 2*k*n
				if root < 0 {
					return // a rate that falls to zero: no further request ever comes
				}
				t = (math.Sqrt(root) - r.From) / k
			}
			if !yield(time.Duration(t * float64(time.Second))) {
				return
			}
		}
	}
}
