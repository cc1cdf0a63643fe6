package scale

import (
	"math"
	"slices"
)

// firstStretch is how many times the expected time nine of ten jobs take, believed until it is calibrated. However well the last ones came
// true, no next one is told to the tenth.
const (
	firstStretch = 1.3
	leastStretch = 1.1
)

// Predict says after how many seconds the first ahead images of the queue will be done, and after how many they
// are in nine cases of ten. It counts the workers alive, those starting, and those that the last decision wanted
// beyond them. Images that arrive later are taken to wait behind. Both are +Inf where there is no worker and
// none is wanted, and 0 for no images.
func Predict(p Policy, s Seen, ahead int64) (eta, p90 float64) {
	if ahead <= 0 {
		return 0, 0
	}
	v := look(p, s)
	wanted := min(max(s.Last.Want, v.min), v.max) - v.staff()
	arrive := func(lead float64) float64 {
		coming := v.coming
		if wanted > 0 {
			coming = append(coming[:len(coming):len(coming)], recruit{wanted, lead})
		}
		return v.finish(float64(ahead), v.busy+v.idle, coming)
	}
	eta = arrive(v.lead)
	v.slow()
	stretch := firstStretch
	if positive(s.Stretch) {
		stretch = max(leastStretch, s.Stretch)
	}
	return eta, max(arrive(v.lead90), eta*stretch)
}

// slow lets the workers that are starting take the time in which nine of ten are there.
func (v *view) slow() {
	for i := range v.coming {
		v.coming[i].after += v.lead90 - v.lead
	}
}

// Calibration keeps how well predictions came true. The zero value is ready to use. It remembers the last 256.
type Calibration struct {
	ratios []float64 // time taken ÷ time predicted
	next   int
}

// calibrationWindow bounds what a Calibration remembers; calibrationEnough is how many it needs to speak.
const (
	calibrationWindow = 256
	calibrationEnough = 10
	shortest          = 0.5 // seconds: of less nobody wants to be told
)

// Observe notes that something predicted to take eta seconds took so many. It leaves out what cannot be
// judged: predictions of no time at all, and numbers that cannot be. What was told to take, and took, less than half a second says
// nothing of longer times and is left out, and shorter times than that count as that.
func (c *Calibration) Observe(eta, took float64) {
	if !positive(eta) || !(took >= 0) || math.IsInf(took, 0) || max(eta, took) < shortest {
		return
	}
	ratio := max(took, shortest) / max(eta, shortest)
	if len(c.ratios) < calibrationWindow {
		c.ratios = append(c.ratios, ratio)
		return
	}
	c.ratios[c.next] = ratio
	c.next = (c.next + 1) % calibrationWindow
}

// Count is how many predictions are remembered.
func (c *Calibration) Count() int { return len(c.ratios) }

// Within20 is the share of predictions that were right to ±20 %, from 0 to 1; 0 where there are none.
func (c *Calibration) Within20() float64 {
	n := 0
	for _, r := range c.ratios {
		if r >= 0.8 && r <= 1.2 {
			n++
		}
	}
	return float64(n) / float64(max(1, len(c.ratios)))
}

// Stretch is how many times the predicted time nine of ten took, for [Seen.Stretch]; 0 until ten are known.
func (c *Calibration) Stretch() float64 {
	if len(c.ratios) < calibrationEnough {
		return 0
	}
	return quantile(c.ratios, 0.9)
}

// quantile returns the smallest of xs that at least a share q of them do not exceed; 0 for none.
func quantile(xs []float64, q float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(xs))
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
