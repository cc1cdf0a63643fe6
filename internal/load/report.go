package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ocelli/ocelli"
)

// Report is what came of a run.
type Report struct {
	Began       time.Time     `json:"began"`
	Took        float64       `json:"took_s"` // to the last answer, warming up included
	Mix         string        `json:"mix"`
	Connections int           `json:"connections,omitempty"`
	RateFrom    float64       `json:"rate_from_per_s,omitempty"`
	RateTo      float64       `json:"rate_to_per_s,omitempty"`
	Requests    int64         `json:"requests"` // that were ended
	Images      int64         `json:"images"`   // of them
	Bytes       int64         `json:"bytes"`
	Right       int64         `json:"right"`   // images
	Wrong       int64         `json:"wrong"`   // images that got an answer that is not theirs, or none although they were said to be done
	Refused     int64         `json:"refused"` // requests that were answered with 429
	Failed      int64         `json:"failed"`  // requests without a good answer in time
	Missed      int64         `json:"missed"`  // requests that were due and did not begin, since too many were under way until the end
	RequestRate float64       `json:"requests_per_s"`
	ImageRate   float64       `json:"images_per_s"` // right ones
	Latency     []Latency     `json:"latency_ms"`
	Lag         *Latency      `json:"lag_ms,omitempty"` // of the generator, where it is an open loop
	Workers     int           `json:"workers"`          // that there were at most
	Backlog     int64         `json:"backlog"`          // images that waited or were with workers, at most
	Model       *ocelli.Model `json:"model"`
	Version     string        `json:"version"`
	Problems    []string      `json:"problems"` // the first few, each once
	Stopped     bool          `json:"stopped"`  // before the end
}

// Good reports whether every answer was right and none is missing. A request that the service refused because it was full is no wrong answer.
func (r *Report) Good() bool { return r.Wrong == 0 && r.Failed == 0 }

// Latency is how long requests took, in milliseconds.
type Latency struct {
	Kind  string  `json:"kind"` // of request; "all" for all of them
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

func latencyOf(kind string, h *hdrhistogram.Histogram) Latency {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return Latency{
		Kind: kind, Count: h.TotalCount(), Mean: h.Mean() / 1000, P50: ms(h.ValueAtQuantile(50)), P90: ms(h.ValueAtQuantile(90)),
		P99: ms(h.ValueAtQuantile(99)), P999: ms(h.ValueAtQuantile(99.9)), Max: ms(h.Max()),
	}
}

func (l *Load) report(stopped bool) *Report {
	t := &l.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Report{
		Began: l.began, Mix: l.Mix.String(), Requests: t.requests, Images: t.images, Bytes: t.bytes, Right: t.right, Wrong: t.wrong,
		Refused: t.refused, Failed: t.failed, Missed: t.overdue, Workers: t.workers, Backlog: t.backlog, Model: t.model, Version: t.version,
		Problems: append([]string{}, t.problems...), Latency: t.latencies(), Stopped: stopped,
	}
	if took := t.last.Sub(l.began).Seconds(); took > 0 {
		r.Took, r.RequestRate, r.ImageRate = took, float64(t.requests)/took, float64(t.right)/took
	}
	if l.Rate == nil {
		r.Connections = l.Connections
		return r
	}
	r.RateFrom, r.RateTo = l.Rate.From, l.Rate.To
	if t.lag != nil {
		lag := latencyOf("lag", t.lag)
		r.Lag = &lag
	}
	return r
}

// latencies are those of each kind, and of all where there are several.
func (t *tally) latencies() []Latency {
	all, ls := newHistogram(), []Latency{}
	for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		ls = append(ls, latencyOf(kind, t.kinds[kind]))
		all.Merge(t.kinds[kind])
	}
	if len(ls) > 1 {
		ls = append(ls, latencyOf("all", all))
	}
	return ls
}

// Print writes the report for people.
func (r *Report) Print(out io.Writer) error {
	if len(r.Latency) > 0 {
		if err := r.printTimes(out); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "%d requests with %d images, %.1f MB, in %.1f s: %.1f requests/s, %.1f images/s\n",
		r.Requests, r.Images, float64(r.Bytes)/1e6, r.Took, r.RequestRate, r.ImageRate)
	if r.Lag != nil {
		fmt.Fprintf(out, "requests began up to %.1f ms after they were due (p99 %.1f ms)\n", r.Lag.Max, r.Lag.P99)
	}
	if r.Missed > 0 {
		fmt.Fprintf(out, "%d requests more were due and did not begin: as many as may be were under way until the end (--in-flight)\n", r.Missed)
	}
	if r.Workers > 0 {
		fmt.Fprintf(out, "workers: %d at most; images in the service at once: %d at most\n", r.Workers, r.Backlog)
	}
	for _, p := range r.Problems {
		fmt.Fprintln(out, " ", p)
	}
	_, err := fmt.Fprintf(out, "images right: %d, wrong: %d; requests refused: %d, failed: %d\n", r.Right, r.Wrong, r.Refused, r.Failed)
	return err
}

// printTimes writes how long answers took, as a table.
func (r *Report) printTimes(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tcount\tmean ms\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, l := range r.Latency {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", l.Kind, l.Count, l.Mean, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// Line says in one line how a run goes.
func (l *Load) Line() string {
	t := &l.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("%3.0f s  %d requests, %d images", time.Since(l.began).Seconds(), t.requests, t.images)
	if ls := t.latencies(); len(ls) > 0 {
		last := ls[len(ls)-1]
		line += fmt.Sprintf("  p50 %.0f ms  p99 %.0f ms", last.P50, last.P99)
	}
	line += fmt.Sprintf("  %d under way", t.inFlight)
	if t.version != "" {
		line += fmt.Sprintf("  %d workers, backlog %d", len(t.now.Workers), t.now.Ready+t.now.Leased)
	}
	if bad := t.wrong + t.failed; bad > 0 {
		line += fmt.Sprintf("  %d BAD", bad)
	}
	return line
}
