package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// errNotThere is the error of a fault whose victim does not run at the moment: a worker where there is none, for one.
var errNotThere = errors.New("the victim does not run")

// breakThings breaks one thing after another until the time is up. The kinds come in rounds, each kind once a round in an order of the seed's
// choosing, so that a short run has them all.
func (s *service) breakThings(ctx context.Context, o options, random *rand.Rand, out io.Writer) {
	kinds := slices.DeleteFunc(s.kinds(), func(k kind) bool { return o.kinds != "" && !slices.Contains(strings.Split(o.kinds, ","), k.name) })
	if len(kinds) == 0 {
		wait(ctx, o.duration)
		return
	}
	until := time.Now().Add(o.duration)
	var round []int
	for {
		wait(ctx, time.Duration(float64(o.every)*(0.5+random.Float64())))
		if ctx.Err() != nil || !time.Now().Before(until) {
			return
		}
		if len(round) == 0 {
			round = random.Perm(len(kinds))
		}
		k := kinds[round[0]]
		round = round[1:]
		f := fault{kind: k.name, began: time.Now()}
		s.mu.Lock()
		s.faults = append(s.faults, f)
		at := len(s.faults) - 1
		s.mu.Unlock()

		err := k.inflict(ctx, random)
		s.mu.Lock()
		s.faults[at].ended, s.faults[at].impossible = time.Now(), err
		s.mu.Unlock()
		if err != nil && !errors.Is(err, errNotThere) {
			fmt.Fprintf(out, "%s: %s: %v\n", s.name, k.name, err)
		}
	}
}
