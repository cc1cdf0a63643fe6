package load

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ocelli/ocelli"
)

// tally is what came of the requests so far.
type tally struct {
	counted time.Time // requests that were due before are warming up

	mu       sync.Mutex
	inFlight int
	kinds    map[string]*hdrhistogram.Histogram // time to the whole answer, in µs
	lag      *hdrhistogram.Histogram            // from when a request was due to when it began
	requests, images, right, wrong, refused, failed,
	overdue, bytes int64
	problems []string
	labels   map[*Picture]ocelli.Label // what the first answer said
	model    *ocelli.Model
	version  string
	workers  int // at most, at once
	backlog  int64
	now      ocelli.Status
	last     time.Time // when the last answer came
}

const (
	mostProblems = 20 // that are told
	// sameScore is by how much the scores of one picture may differ where its best label does: two labels are as good as each
	// other, and another processor added up in another order.
	sameScore = 0.02
)

// newHistogram has a range of 1 µs to an hour, to three digits (https://hdrhistogram.org).
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Hour.Microseconds(), 3)
}

func (t *tally) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight++
}

// lagged enters how late a request begins, which is the generator's fault, or that of too many under way.
func (t *tally) lagged(due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lag == nil {
		t.lag = newHistogram()
	}
	record(t.lag, time.Since(due))
}

// missed enters a request that was due and did not begin before the end, since too many were under way.
func (t *tally) missed(due time.Time) {
	t.lagged(due)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.overdue++
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(1, d.Microseconds()), h.HighestTrackableValue())) // it is within the range
}

// end enters what came of a request.
func (t *tally) end(kind Kind, images []sent, due time.Time, wrong []string, err error) {
	took := time.Since(due)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight--
	if errors.Is(err, errStopped) {
		return
	}
	t.last = time.Now()
	t.requests++
	t.images += int64(len(images))
	for _, s := range images {
		t.bytes += int64(len(s.Data))
	}
	switch e := ocelli.AsError(err); {
	case e != nil && e.Code == ocelli.Overloaded:
		t.refused++
		return
	case err != nil:
		t.failed++
		t.problem(fmt.Sprintf("%s: %v", kind.Name, err))
		return
	}
	t.wrong += int64(min(len(wrong), len(images)))
	t.right += int64(max(0, len(images)-len(wrong)))
	for _, w := range wrong {
		t.problem(w)
	}
	if due.Before(t.counted) {
		return
	}
	if t.kinds == nil {
		t.kinds = map[string]*hdrhistogram.Histogram{}
	}
	if t.kinds[kind.Name] == nil {
		t.kinds[kind.Name] = newHistogram()
	}
	record(t.kinds[kind.Name], took)
}

func (t *tally) problem(text string) {
	if len(t.problems) < mostProblems && !slices.Contains(t.problems, text) {
		t.problems = append(t.problems, text)
	}
}

// check tells what is wrong with the answer to an image: nothing, or one sentence.
func (t *tally) check(s sent, got ocelli.ImageStatus) []string {
	wrong := func(format string, args ...any) []string {
		return []string{s.name + " " + fmt.Sprintf(format, args...)}
	}
	r := got.Result
	switch {
	case got.Name != s.name:
		return wrong("came back as %q", got.Name)
	case s.Code != "" && (got.Error == nil || got.Error.Code != s.Code):
		return wrong("should have failed with %s: %s, %+v", s.Code, got.State, got.Error)
	case s.Code != "":
		return nil
	case got.Error != nil:
		return wrong("failed: %s: %s", got.Error.Code, got.Error.Message)
	case got.State != ocelli.ImageDone || r == nil || len(r.Labels) == 0:
		return wrong("is %s and has no labels", got.State)
	case r.Image != got.ID || r.Name != s.name:
		return wrong("has the result of %s, %s", r.Image, r.Name)
	case r.Width != s.Width || r.Height != s.Height:
		return wrong("is %d × %d pixels and was answered as %d × %d", s.Width, s.Height, r.Width, r.Height)
	}
	best := r.Labels[0]
	if r.Model != nil && r.Model.Name == "echo" && best.Name != s.Colour {
		return wrong("is %s and was answered as %s", s.Colour, best.Name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.labels == nil {
		t.labels = map[*Picture]ocelli.Label{}
	}
	first, known := t.labels[s.Picture]
	if !known {
		t.labels[s.Picture] = best
	} else if first.Name != best.Name && math.Abs(first.Score-best.Score) > sameScore {
		return wrong("was answered as %s (%.3f), and the same picture before as %s (%.3f)", best.Name, best.Score, first.Name, first.Score)
	}
	return nil
}

// seen enters a state of the service.
func (t *tally) seen(s *ocelli.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = *s
	t.workers = max(t.workers, len(s.Workers))
	t.backlog = max(t.backlog, s.Ready+s.Leased)
	if s.Model != nil {
		t.model = s.Model
	}
	t.version = s.Version
}
