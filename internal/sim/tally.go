package sim

import (
	"math"
	"time"
)

// epoch is second 0 of a run. Only differences matter.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// tally collects what a run is judged by.
type tally struct {
	unit, least float64 // billing
	service     float64 // seconds per image
	slo         float64

	took   histogram
	within float64 // images done in time
	busy   float64 // worker-seconds
	billed float64
	lost   int64
	last   float64 // when the last image was done
}

func newTally(c Config) tally {
	return tally{unit: c.BillUnit, least: c.BillAtLeast, service: 1 / c.Rate, slo: c.SLO}
}

func (t *tally) count() *tally { return t }

// record notes that n images took so long; n is negative where a worker was ended under its image.
func (t *tally) record(took, n float64) {
	t.took.add(took, n)
	if took <= t.slo {
		t.within += n
	}
}

// bill charges n workers for the time from asked to ended.
func (t *tally) bill(n int, asked, ended float64) {
	length := max(0, ended-max(asked, 0))
	if t.unit > 0 {
		length = math.Ceil(length/t.unit-1e-9) * t.unit
	}
	t.billed += float64(n) * max(length, t.least)
}

func (t *tally) report(r *Result, c Config) {
	images := t.took.total
	r.Images = int64(math.Round(images))
	r.P50, r.P95, r.P99 = t.took.quantile(0.5), t.took.quantile(0.95), t.took.quantile(0.99)
	r.WorkerSeconds, r.Lost, r.Finish = t.billed, t.lost, t.last
	if images > 0 {
		r.SLO = t.within / images
		r.USDPerMillion = t.billed / 3600 * c.Price / images * 1e6
	}
	if t.billed > 0 {
		r.OverProvisioning = max(0, 1-t.busy/t.billed)
	}
}

// histogram counts lengths of time in steps of half a percent, from a tenth of a millisecond to years.
type histogram struct {
	bins  [6000]float64
	total float64
}

const (
	histogramFloor = 1e-4
	histogramStep  = 1.005
)

var logStep = math.Log(histogramStep)

func (h *histogram) add(seconds, n float64) {
	i := 0
	if seconds > histogramFloor {
		i = min(int(math.Log(seconds/histogramFloor)/logStep)+1, len(h.bins)-1)
	}
	h.bins[i] += n
	h.total += n
}

// quantile is right to half a step.
func (h *histogram) quantile(q float64) float64 {
	need, sum := q*h.total, 0.0
	for i, n := range h.bins {
		if sum += n; sum >= need && sum > 0 {
			return histogramFloor * math.Pow(histogramStep, float64(i)-0.5)
		}
	}
	return 0
}

// Series is backlog and workers over time, in at most seriesPoints points: when it is full, neighbours are
// joined, the largest value of each counting.
type Series struct {
	Points []Point
	width  int // observations per point
	n      int // observations in the last point
}

// Point is one piece of a Series.
type Point struct{ At, Backlog, Workers, Want float64 }

const seriesPoints = 1200

func (s *Series) add(at, backlog, workers, want float64) {
	if s.width == 0 {
		s.width = 1
	}
	if len(s.Points) > 0 && s.n < s.width {
		s.Points[len(s.Points)-1].join(Point{at, backlog, workers, want})
		s.n++
		return
	}
	if len(s.Points) == seriesPoints {
		for i := range seriesPoints / 2 {
			s.Points[i] = s.Points[2*i]
			s.Points[i].join(s.Points[2*i+1])
		}
		s.Points, s.width = s.Points[:seriesPoints/2], 2*s.width
	}
	s.Points, s.n = append(s.Points, Point{at, backlog, workers, want}), 1
}

func (p *Point) join(q Point) {
	p.Backlog, p.Workers, p.Want = max(p.Backlog, q.Backlog), max(p.Workers, q.Workers), max(p.Want, q.Want)
}
