// Package telemetry counts and times what happens to images, for Prometheus and for people.
package telemetry

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ocelli/ocelli"
)

// Metrics are the measurements of one web node. Its methods may be called from any number of goroutines.
type Metrics struct {
	registry *prometheus.Registry
	accepted prometheus.Counter
	ended    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	again    prometheus.Counter
	rate     rate
}

// seconds from 0.5 ms to about 65 s.
var buckets = prometheus.ExponentialBuckets(0.0005, 2, 18)

// New returns metrics, among them gauges that are read from status whenever somebody asks.
func New(status func() ocelli.Status) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ocelli_images_accepted_total", Help: "Images kept and queued by this node."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ocelli_images_ended_total", Help: "Results that this node heard of, by error code; an empty code is a success."}, []string{"code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ocelli_image_step_duration_seconds", Help: "Time of an image in each step.", Buckets: buckets}, []string{"step"}),
		again: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ocelli_images_repeated_total", Help: "Results that took more than one attempt."}),
	}
	for _, code := range []ocelli.Code{"", ocelli.CorruptImage, ocelli.UnsupportedType, ocelli.GaveUp} {
		m.ended.WithLabelValues(string(code)) // so that a rate can be taken before the first one
	}
	m.registry.MustRegister(m.accepted, m.ended, m.seconds, m.again, &gauges{status: status},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Accepted counts n images that were queued.
func (m *Metrics) Accepted(n int) { m.accepted.Add(float64(n)) }

// Ended counts and times a result.
func (m *Metrics) Ended(r ocelli.Result) {
	m.rate.add(time.Now())
	code := ocelli.Code("")
	if r.Error != nil {
		code = r.Error.Code
	}
	m.ended.WithLabelValues(string(code)).Inc()
	if r.Attempt == 0 {
		return // no worker saw it
	}
	if r.Attempt > 1 {
		m.again.Inc()
	}
	t := r.Timings
	for step, ms := range map[string]float64{"queued": t.Queued, "fetch": t.Fetch, "decode": t.Decode, "infer": t.Infer} {
		if ms > 0 { // an image that failed did not go through all of them
			m.seconds.WithLabelValues(step).Observe(ms / 1000)
		}
	}
}

// Rate is how many images per second ended, over the last ten seconds.
func (m *Metrics) Rate() float64 { return m.rate.perSecond(time.Now()) }

// Handler answers Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/).
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// gauges shows the status as it is when asked.
type gauges struct{ status func() ocelli.Status }

var (
	backlogDesc = prometheus.NewDesc("ocelli_backlog_images", "Images in the queue, by whether a worker holds them.", []string{"state"}, nil)
	oldestDesc  = prometheus.NewDesc("ocelli_backlog_oldest_seconds", "Age of the oldest image in the queue.", nil, nil)
	workersDesc = prometheus.NewDesc("ocelli_workers", "Workers, by what they do.", []string{"state"}, nil)
	wantedDesc  = prometheus.NewDesc("ocelli_workers_wanted", "Workers that the backlog is worth.", nil, nil)
)

func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{backlogDesc, oldestDesc, workersDesc, wantedDesc} {
		out <- d
	}
}

func (g *gauges) Collect(out chan<- prometheus.Metric) {
	s := g.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(backlogDesc, float64(s.Ready), "ready")
	gauge(backlogDesc, float64(s.Leased), "leased")
	gauge(oldestDesc, s.OldestAge)
	gauge(wantedDesc, float64(s.Wanted))
	count := map[ocelli.WorkerState]int{ocelli.WorkerStarting: 0, ocelli.WorkerBusy: 0, ocelli.WorkerIdle: 0, ocelli.WorkerDraining: 0}
	for _, w := range s.Workers {
		count[w.State]++
	}
	for state, n := range count {
		gauge(workersDesc, float64(n), string(state))
	}
}

// rateSpan is the time over which a rate is taken, in slots of a second.
const rateSpan = 10

// rate counts events in slots of one second.
type rate struct {
	mu    sync.Mutex
	slots [rateSpan]struct {
		second int64
		n      int
	}
}

func (r *rate) add(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := &r.slots[now.Unix()%rateSpan]
	if slot.second != now.Unix() {
		slot.second, slot.n = now.Unix(), 0
	}
	slot.n++
}

func (r *rate) perSecond(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, slot := range r.slots {
		if now.Unix()-slot.second < rateSpan {
			n += slot.n
		}
	}
	return float64(n) / rateSpan
}
