package fleet

import (
	"slices"
	"time"
)

// durationsKept is how many durations are remembered.
const durationsKept = 64

// durations remembers the latest durations. The zero value is ready.
type durations struct {
	latest []time.Duration
}

func (d *durations) add(took time.Duration) {
	d.latest = append(d.latest, took)
	if len(d.latest) > durationsKept {
		d.latest = slices.Delete(d.latest, 0, 1)
	}
}

// quantile returns the shortest one that is at least as long as the share q of them, 0 < q < 1; 0 where there are
// none.
func (d *durations) quantile(q float64) time.Duration {
	if len(d.latest) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(d.latest))[int(q*float64(len(d.latest)))]
}
