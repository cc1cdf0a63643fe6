package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Kind is a kind of request.
type Kind struct {
	Name   string // as it is written in a mix: "single", "job10"
	Job    bool   // a job of several images, and not one image that is answered at once
	Images int
	Weight int // how often it comes, beside the others
}

// Mix is what requests are made of.
type Mix []Kind

// mostImages bounds the images of one job of a mix.
const mostImages = 10_000

// ParseMix reads a mix like "single:8,job10:1,job100:1": kinds of requests with their weights, 1 where none is given.
func ParseMix(text string) (Mix, error) {
	var mix Mix
	for part := range strings.SplitSeq(text, ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(part), ":")
		k := Kind{Name: name, Images: 1, Weight: 1}
		var err error
		if weighted {
			k.Weight, err = strconv.Atoi(weight)
		}
		if size, job := strings.CutPrefix(name, "job"); job && err == nil {
			k.Job = true
			k.Images, err = strconv.Atoi(size)
		} else if name != "single" {
			err = strconv.ErrSyntax
		}
		if err != nil || k.Images < 1 || k.Images > mostImages || k.Weight < 1 || k.Weight > 1_000_000 {
			return nil, fmt.Errorf("%q is no kind of request: write a mix like single:8,job10:1,job100:1, with jobs of 1 to %d images", part, mostImages)
		}
		mix = append(mix, k)
	}
	return mix, nil
}

// pick chooses a kind by its weight.
func (m Mix) pick(chance *rand.Rand) Kind {
	total := 0
	for _, k := range m {
		total += k.Weight
	}
	n := chance.IntN(total)
	for _, k := range m {
		if n -= k.Weight; n < 0 {
			return k
		}
	}
	return m[len(m)-1]
}

// String writes the mix as [ParseMix] reads it.
func (m Mix) String() string {
	var parts []string
	for _, k := range m {
		parts = append(parts, fmt.Sprintf("%s:%d", k.Name, k.Weight))
	}
	return strings.Join(parts, ",")
}
