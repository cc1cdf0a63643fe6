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
	whole    prometheus.Histogram
	again    prometheus.Counter
	rate     rate
}

// Source is what is read whenever somebody asks for the metrics.
type Source struct {
	Status  func() ocelli.Status
	Started func() int64 // workers that this node has started
	Waiting func() int   // images of this node's jobs without a result
}

// seconds from 0.5 ms to about 65 s, and for the whole way of an image, which may wait for long, to about 70 minutes.
var (
	buckets      = prometheus.ExponentialBuckets(0.0005, 2, 18)
	wholeBuckets = prometheus.ExponentialBuckets(0.002, 2, 22)
)

// New returns metrics.
func New(source Source) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ocelli_images_accepted_total", Help: "Images kept and queued by this node."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ocelli_images_ended_total", Help: "Results that this node heard of, by error code; an empty code is a success."}, []string{"code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ocelli_image_step_duration_seconds", Help: "Time of an image in each step: queued, fetch, decode, infer.", Buckets: buckets}, []string{"step"}),
		whole: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ocelli_image_duration_seconds", Help: "Time of an image from its acceptance to its labels or its error.", Buckets: wholeBuckets}),
		again: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ocelli_images_repeated_total", Help: "Results that took more than one attempt."}),
	}
	for _, code := range []ocelli.Code{"", ocelli.CorruptImage, ocelli.UnsupportedType, ocelli.GaveUp} {
		m.ended.WithLabelValues(string(code)) // so that a rate can be taken before the first one
	}
	for _, step := range []string{"queued", "fetch", "decode", "infer"} {
		m.seconds.WithLabelValues(step)
	}
	m.registry.MustRegister(m.accepted, m.ended, m.seconds, m.whole, m.again, &gauges{source: source},
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
		// A worker is not trusted with the number of series that Prometheus keeps.
		if code = r.Error.Code; code.HTTPStatus() == http.StatusInternalServerError && code != ocelli.GaveUp {
			code = "other"
		}
	}
	m.ended.WithLabelValues(string(code)).Inc()
	if r.Attempt == 0 {
		return // no worker saw it
	}
	if r.Attempt > 1 {
		m.again.Inc()
	}
	t := r.Timings
	m.whole.Observe((t.Queued + t.Fetch + t.Decode + t.Infer) / 1000)
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
