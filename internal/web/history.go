package web

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
)

const (
	historySpan = 5 * time.Minute // how far back the lines of the fleet's page go
	historyStep = 2 * time.Second // between two moments of it
)

// History remembers what the fleet was like in the last minutes. The zero value is empty; its methods may be called from any
// number of goroutines.
type History struct {
	mu      sync.Mutex
	moments []moment
}

type moment struct {
	at              time.Time
	backlog         int64
	workers, wanted int
}

// Run notes the status every two seconds until ctx ends. Without it a history holds what was shown to somebody, which is for
// nodes that pay for each look at the queue.
func (h *History) Run(ctx context.Context, status func(context.Context) ocelli.Status) error {
	tick := time.NewTicker(historyStep)
	defer tick.Stop()
	for {
		h.note(time.Now(), status(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// note adds a moment, unless the last one is not a step ago.
func (h *History) note(now time.Time, s ocelli.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.moments); n > 0 && now.Sub(h.moments[n-1].at) < historyStep*9/10 {
		return
	}
	for len(h.moments) > 0 && now.Sub(h.moments[0].at) > historySpan {
		h.moments = h.moments[1:]
	}
	h.moments = append(h.moments, moment{now, s.Ready + s.Leased, len(s.Workers), s.Wanted})
}

// line is a number over the last minutes, as paths in a field of 300 × 100: a unit to the right is a second, and the top is Top.
type line struct {
	Name, Now, Top string
	Stroke, Area   string // "" before there are two moments
	Wanted         string // a second path, where there is one
}

// lines are those of the fleet's page, up to what is now.
func (h *History) lines(now time.Time, s ocelli.Status) []line {
	h.mu.Lock()
	moments := append(h.moments[:len(h.moments):len(h.moments)], moment{now, s.Ready + s.Leased, len(s.Workers), s.Wanted})
	h.mu.Unlock()
	backlog := func(m moment) float64 { return float64(m.backlog) }
	workers := func(m moment) float64 { return float64(m.workers) }
	wanted := func(m moment) float64 { return float64(m.wanted) }
	most := func(of ...func(moment) float64) float64 {
		top := 1.0
		for _, m := range moments {
			for _, value := range of {
				top = max(top, value(m))
			}
		}
		return top
	}
	topBacklog, topWorkers := most(backlog), most(workers, wanted)
	all := []line{
		{Name: "Backlog", Now: count(s.Ready + s.Leased), Top: count(int64(topBacklog)), Stroke: stroke(now, moments, topBacklog, false, backlog)},
		{Name: "Workers", Now: count(int64(len(s.Workers))), Top: count(int64(topWorkers)), Stroke: stroke(now, moments, topWorkers, true, workers),
			Wanted: stroke(now, moments, topWorkers, true, wanted)},
	}
	for i := range all {
		if all[i].Stroke != "" {
			all[i].Area = fmt.Sprintf("M%.1f 100L%sV100Z", place(now, moments[0].at), all[i].Stroke[1:])
		}
	}
	return all
}

// stroke draws the values of the moments, in steps where they are numbers of things that come and go one by one.
func stroke(now time.Time, moments []moment, top float64, steps bool, value func(moment) float64) string {
	if len(moments) < 2 {
		return ""
	}
	var p strings.Builder
	for i, m := range moments {
		x, y := place(now, m.at), 98-96*value(m)/top
		switch {
		case i == 0:
			fmt.Fprintf(&p, "M%.1f %.1f", x, y)
		case steps:
			fmt.Fprintf(&p, "H%.1fV%.1f", x, y)
		default:
			fmt.Fprintf(&p, "L%.1f %.1f", x, y)
		}
	}
	return p.String()
}

func place(now, at time.Time) float64 { return max(0, (historySpan - now.Sub(at)).Seconds()) }
