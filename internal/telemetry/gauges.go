package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ocelli/ocelli"
)

// gauges shows the state as it is when asked.
type gauges struct {
	source Source

	mu    sync.Mutex
	empty time.Time // since when the queue has been seen empty; zero while it is not
}

// lostAfter is how long the queue must have been empty for an image without a result to be lost. No notice takes as long: one that did not
// come is made up for by reading the store.
const lostAfter = time.Minute

var (
	backlogDesc = prometheus.NewDesc("ocelli_backlog_images", "Images in the queue, by whether a worker holds them.", []string{"state"}, nil)
	oldestDesc  = prometheus.NewDesc("ocelli_backlog_oldest_seconds", "Age of the oldest image in the queue.", nil, nil)
	workersDesc = prometheus.NewDesc("ocelli_workers", "Workers, by what they do.", []string{"state"}, nil)
	wantedDesc  = prometheus.NewDesc("ocelli_workers_wanted", "Workers that the backlog is worth.", nil, nil)
	startedDesc = prometheus.NewDesc("ocelli_workers_started_total", "Workers that this node has started.", nil, nil)
	waitingDesc = prometheus.NewDesc("ocelli_images_waiting", "Images of this node's jobs that have no result yet.", nil, nil)
	lostDesc    = prometheus.NewDesc("ocelli_images_lost", "Images of this node's jobs that have no result although the queue has been empty for a minute: 0, or a bug.", nil, nil)
)

func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{backlogDesc, oldestDesc, workersDesc, wantedDesc, startedDesc, waitingDesc, lostDesc} {
		out <- d
	}
}

func (g *gauges) Collect(out chan<- prometheus.Metric) {
	s, waiting := g.source.Status(), g.source.Waiting()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(backlogDesc, float64(s.Ready), "ready")
	gauge(backlogDesc, float64(s.Leased), "leased")
	gauge(oldestDesc, s.OldestAge)
	gauge(wantedDesc, float64(s.Wanted))
	gauge(waitingDesc, float64(waiting))
	gauge(lostDesc, float64(g.lost(s, waiting, time.Now())))
	out <- prometheus.MustNewConstMetric(startedDesc, prometheus.CounterValue, float64(g.source.Started()))
	count := map[ocelli.WorkerState]int{ocelli.WorkerStarting: 0, ocelli.WorkerBusy: 0, ocelli.WorkerIdle: 0, ocelli.WorkerDraining: 0, ocelli.WorkerSilent: 0}
	for _, w := range s.Workers {
		count[w.State]++
	}
	for state, n := range count {
		gauge(workersDesc, float64(n), string(state))
	}
}

// lost is how many images wait for something that will not come.
func (g *gauges) lost(s ocelli.Status, waiting int, now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case s.Ready+s.Leased > 0 || waiting == 0 || s.Problem != "":
		g.empty = time.Time{}
	case g.empty.IsZero():
		g.empty = now
	case now.Sub(g.empty) >= lostAfter:
		return waiting
	}
	return 0
}
