// Package eval measures a classifier on images whose labels are known.
package eval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
)

// Item is one image and its label: a WordNet id or a name.
type Item struct{ Path, Label string }

// Options say what is measured and how.
type Options struct {
	Classifier classify.Classifier
	Labels     []ocelli.Label // all that the model knows; an item with another label is left out of the figures
	Decode     func(ctx context.Context, data []byte, shortSide int) (ocelli.Pixels, error)
	MaxImage   int64                 // bytes; larger files count as failed
	Progress   func(done, total int) // called from one goroutine at a time; may be nil
}

// Report is what was measured.
type Report struct {
	N               int         `json:"n"`    // images that the figures are of
	Top1            float64     `json:"top1"` // share whose label came first
	Top5            float64     `json:"top5"` // share whose label was among the first five
	ECE             float64     `json:"ece"`  // expected calibration error of the first label's score
	Calibration     []Bin       `json:"calibration"`
	Classes         []Class     `json:"classes"` // in the order of the model, those without an image left out
	ImagesPerSecond float64     `json:"images_per_s"`
	Failed          int         `json:"failed"`  // files that could not be read or decoded
	Unknown         int         `json:"unknown"` // images whose label the model does not have
	Confusions      []Confusion `json:"confusions"`
	Failures        []string    `json:"failures"` // the first few, in sentences
}

// Bin is what became of the images whose first label had a score of one range. Of a model that is as sure as it is right, Score and
// Right are equal in every bin.
type Bin struct {
	N     int     `json:"n"`
	Score float64 `json:"score"` // the mean of the scores
	Right float64 `json:"right"` // the share whose first label was the true one
}

// Class is how often the images of one class were recognised.
type Class struct {
	Name string  `json:"name"`
	ID   string  `json:"id,omitempty"`
	N    int     `json:"n"`
	Top1 float64 `json:"top1"` // share whose label came first
}

// Confusion is how often one label was taken for another.
type Confusion struct {
	Truth string `json:"truth"`
	Taken string `json:"taken_for"`
	Count int    `json:"count"`
}

// How much of a report is lists.
const (
	maxConfusions = 10
	maxFailures   = 10
)

// Run classifies all items, on all cores, and reports. A file that cannot be read or decoded is counted, not fatal; the
// model's own errors are fatal.
func Run(ctx context.Context, items []Item, o Options) (*Report, error) {
	known := index(o.Labels)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan Item)
	t := &tally{confused: map[[2]string]int{}, right: map[string]*Class{}}
	done := 0
	began := time.Now()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for item := range next {
				truth, ok := find(known, item.Label)
				var labels []ocelli.Label
				var err error
				if ok {
					labels, err = classifyFile(ctx, item.Path, o)
				}
				if err != nil && ocelli.AsError(err) == nil {
					cancel(err)
					return
				}
				t.Lock()
				t.count(item, truth, ok, labels, err)
				done++
				if o.Progress != nil {
					o.Progress(done, len(items))
				}
				t.Unlock()
			}
		})
	}
	feed(ctx, items, next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return t.report(o.Labels, time.Since(began)), nil
}

// feed sends the items until ctx ends.
func feed(ctx context.Context, items []Item, next chan<- Item) {
	defer close(next)
	for _, item := range items {
		select {
		case next <- item:
		case <-ctx.Done():
			return
		}
	}
}

// classifyFile gives an [ocelli.Error] where the file is at fault.
func classifyFile(ctx context.Context, path string, o Options) ([]ocelli.Label, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, ocelli.Errorf(ocelli.UnsupportedType, "is not a file")
	}
	if err == nil && o.MaxImage > 0 && info.Size() > o.MaxImage {
		return nil, ocelli.Errorf(ocelli.TooLarge, "is larger than %d MB", o.MaxImage>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, ocelli.Errorf(ocelli.NotFound, "cannot be read: %v", errors.Unwrap(err))
	}
	img, err := o.Decode(ctx, data, o.Classifier.ShortSide())
	if err != nil {
		return nil, err
	}
	all, err := o.Classifier.Classify(ctx, img)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// index maps ids and names, folded, to labels; the first of several names of a label where that is no other label's whole name.
func index(labels []ocelli.Label) map[string]ocelli.Label {
	known := map[string]ocelli.Label{}
	for _, l := range slices.Backward(labels) { // of two labels with one name the first counts
		known[fold(firstName(l.Name))] = l
	}
	for _, l := range slices.Backward(labels) {
		known[fold(l.Name)] = l
		if l.ID != "" {
			known[fold(l.ID)] = l
		}
	}
	return known
}

// find returns the label that a data set means by an id or name. Only where none has the whole name do further names after a comma
// not count.
func find(known map[string]ocelli.Label, name string) (ocelli.Label, bool) {
	l, ok := known[fold(name)]
	if !ok {
		l, ok = known[fold(firstName(name))]
	}
	return l, ok
}

func firstName(name string) string {
	first, _, _ := strings.Cut(name, ",")
	return first
}

// fold makes names comparable that differ in case, or in "_" for a space.
func fold(name string) string {
	return strings.ToLower(strings.TrimSpace(strings.ReplaceAll(name, "_", " ")))
}

// same tells whether two labels are of one class: names alone do not tell, since two classes of ImageNet are called "crane".
func same(a, b ocelli.Label) bool {
	if a.ID != "" || b.ID != "" {
		return a.ID == b.ID
	}
	return a.Name == b.Name
}

// bins is the number of bins of equal width for the calibration error, after Guo et al., "On Calibration of Modern Neural
// Networks" (https://arxiv.org/abs/1706.04599).
const bins = 15

// tally adds up outcomes.
type tally struct {
	sync.Mutex
	Report
	bin      [bins]Bin         // with sums in place of shares
	right    map[string]*Class // by [key], with counts in place of shares
	confused map[[2]string]int
}

func (t *tally) count(item Item, truth ocelli.Label, known bool, labels []ocelli.Label, err error) {
	switch {
	case !known:
		t.Unknown++
		return
	case err != nil:
		t.Failed++
		if len(t.Failures) < maxFailures {
			t.Failures = append(t.Failures, item.Path+" "+err.Error())
		}
		return
	}
	t.N++
	place := slices.IndexFunc(labels, func(l ocelli.Label) bool { return same(l, truth) })
	b := &t.bin[min(int(labels[0].Score*bins), bins-1)]
	b.N++
	b.Score += labels[0].Score
	class := t.right[key(truth)]
	if class == nil {
		class = &Class{Name: truth.Name, ID: truth.ID}
		t.right[key(truth)] = class
	}
	class.N++
	if place == 0 {
		t.Top1++
		b.Right++
		class.Top1++
	} else {
		t.confused[[2]string{truth.Name, labels[0].Name}]++
	}
	if place >= 0 && place < 5 {
		t.Top5++
	}
}

// key tells classes apart like [same].
func key(l ocelli.Label) string { return cmp.Or(l.ID, l.Name) }

// report turns counts into shares.
func (t *tally) report(labels []ocelli.Label, took time.Duration) *Report {
	r := t.Report
	r.Calibration, r.Classes = []Bin{}, []Class{} // empty lists in JSON
	r.ImagesPerSecond = float64(r.N+r.Failed) / took.Seconds()
	if r.N > 0 {
		for _, b := range t.bin {
			r.ECE += max(b.Right-b.Score, b.Score-b.Right) / float64(r.N)
			if b.N > 0 {
				r.Calibration = append(r.Calibration, Bin{b.N, b.Score / float64(b.N), b.Right / float64(b.N)})
			}
		}
		r.Top1 /= float64(r.N)
		r.Top5 /= float64(r.N)
	}
	for _, l := range labels {
		if c := t.right[key(l)]; c != nil {
			r.Classes = append(r.Classes, Class{c.Name, c.ID, c.N, c.Top1 / float64(c.N)})
			delete(t.right, key(l)) // two labels of one name are one class
		}
	}
	r.Confusions = []Confusion{}
	for pair, n := range t.confused {
		r.Confusions = append(r.Confusions, Confusion{pair[0], pair[1], n})
	}
	slices.SortFunc(r.Confusions, func(a, b Confusion) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Truth, b.Truth), cmp.Compare(a.Taken, b.Taken))
	})
	r.Confusions = r.Confusions[:min(len(r.Confusions), maxConfusions)]
	slices.Sort(r.Failures)
	if r.Failures == nil {
		r.Failures = []string{} // an empty list in JSON
	}
	return &r
}

// Summary is one line for people.
func (r *Report) Summary() string {
	return fmt.Sprintf("%d images: top-1 %.1f %%, top-5 %.1f %%, calibration error %.3f, %.0f images/s", r.N, 100*r.Top1, 100*r.Top5, r.ECE, r.ImagesPerSecond)
}
