package fleet

import (
	"slices"
	"time"
)

// medianOf is how many of the latest durations a median looks at.
const medianOf = 20

// median is the median of the latest durations: a single worker that took very long does not move it far.
// The zero value is ready.
type median struct {
	latest []time.Duration
}

func (m *median) add(d time.Duration) {
	m.latest = append(m.latest, d)
	if len(m.latest) > medianOf {
		m.latest = slices.Delete(m.latest, 0, 1)
	}
}

// value returns the median, and instead while nothing was added. Of two middle ones it is the longer.
func (m *median) value(instead time.Duration) time.Duration {
	if len(m.latest) == 0 {
		return instead
	}
	return slices.Sorted(slices.Values(m.latest))[len(m.latest)/2]
}
