package classify

import (
	"fmt"
	"math"
	"slices"

	"github.com/ocelli/ocelli"
)

// DefaultTop is how many labels an image gets.
const DefaultTop = 5

// Rank returns the k best labels for the scores that the model gave one image, best first, with probabilities. Equal
// scores stand in the order of the model. It fails where a score is not a number. The logarithm of no probability at all is one.
func (s *Spec) Rank(scores []float32, k int) ([]ocelli.Label, error) {
	if err := s.CheckWidth(len(scores)); err != nil {
		return nil, err
	}
	probabilities := make([]float64, len(scores))
	logits := s.Activation == ActivationNone && slices.Max(scores) > float32(math.Inf(-1))
	for i, v := range scores {
		probabilities[i] = float64(v)
		if math.IsNaN(probabilities[i]) || math.IsInf(probabilities[i], 0) && (v > 0 || !logits) {
			return nil, fmt.Errorf("the model gave %v as the score of %q", v, s.Labels[i].Name)
		}
	}
	switch {
	case s.Activation == ActivationNone:
		softmax(probabilities, s.Temperature)
	case s.Temperature != 1:
		temper(probabilities, s.Temperature)
	}
	best := largest(probabilities, k)
	labels := make([]ocelli.Label, len(best))
	for i, at := range best {
		labels[i] = s.Labels[at]
		labels[i].Index = at
		if labels[i].Parents == nil {
			labels[i].Parents = []string{} // a list in JSON, too
		}
		labels[i].Score = min(max(probabilities[at], 0), 1)
	}
	return labels, nil
}

// largest returns the places of the k largest numbers, the largest first, of equal ones the first first.
func largest(v []float64, k int) []int {
	if k < 1 {
		return nil
	}
	best := make([]int, 0, k+1)
	for i, x := range v {
		if len(best) == k && x <= v[best[k-1]] {
			continue
		}
		at := len(best)
		for at > 0 && x > v[best[at-1]] {
			at--
		}
		best = slices.Insert(best, at, i)
		best = best[:min(len(best), k)]
	}
	return best
}

// softmax turns logits into probabilities, in place. The largest is subtracted first, so that nothing overflows.
func softmax(v []float64, temperature float64) {
	largest, sum := slices.Max(v), 0.0
	for i := range v {
		v[i] = math.Exp((v[i] - largest) / temperature)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}

// temper applies a temperature to probabilities: their logarithms are logits, but for a constant.
func temper(v []float64, temperature float64) {
	for i := range v {
		v[i] = math.Log(max(v[i], math.SmallestNonzeroFloat32))
	}
	softmax(v, temperature)
}
