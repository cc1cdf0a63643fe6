package result

import (
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
)

// tracked is what the tracker knows about one job. The tracker's mutex guards it.
type tracked struct {
	life     string          // tells this tracking of the job from another, after a restart for one
	begun    bool            // its upload came through this node
	manifest ocelli.Manifest // grows while the upload runs
	settled  bool            // the manifest is whole
	results  []*ocelli.Result
	running  []bool
	started  []int         // places of the images in the order in which workers took them in hand
	arrived  []int         // places of the results in the order in which they came
	changed  chan struct{} // closed, and replaced, at each change
	failed   int
	dropped  int       // of them, because the job was cancelled
	waiting  int       // calls that wait for a change; such a job is not forgotten
	touched  time.Time // the last change or question
	repair   time.Time // when to read the store next
	patience time.Duration
	stamp    stamp     // of the manifest in the store, as far as it is known
	absent   bool      // the store had no manifest at the last look
	checked  time.Time // when that was

	promised   time.Duration // how long the job was forecast to take when its upload ended; 0 where nothing was
	promisedAt time.Time
}

func newTracked(m ocelli.Manifest) *tracked {
	now := time.Now()
	return &tracked{
		life:     rand.Text()[:8],
		manifest: m,
		changed:  make(chan struct{}),
		touched:  now,
		checked:  now,
		patience: repairFirst,
		repair:   now.Add(repairFirst),
	}
}

func (t *tracked) add(images ...ocelli.Image) {
	t.manifest.Images = append(t.manifest.Images, images...)
	t.results = append(t.results, make([]*ocelli.Result, len(images))...)
	t.running = append(t.running, make([]bool, len(images))...)
}

// index returns the place of an image, from 0, or -1 where the job has no such image.
func (t *tracked) index(image ocelli.ImageID) int {
	job, place, ok := image.Split()
	if !ok || job != t.manifest.ID || place > len(t.results) {
		return -1
	}
	return place - 1
}

// missing reports whether the image is one of the job and has no result here.
func (t *tracked) missing(image ocelli.ImageID) bool {
	i := t.index(image)
	return i >= 0 && t.results[i] == nil
}

// mark names the n-th result to arrive, from 0.
func (t *tracked) mark(n int) string { return t.life + "-" + strconv.Itoa(n) }

// placeAfter returns the number of the result that follows the one with the mark: 0 for a mark of another life, or of none of its results.
func (t *tracked) placeAfter(mark string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(mark, t.life+"-"))
	if err != nil || n < 0 || n >= len(t.arrived) || mark != t.mark(n) {
		return 0
	}
	return n + 1
}

// note takes a notice in and reports whether it was news.
func (t *tracked) note(n Notice) bool {
	i := t.index(n.Image)
	switch {
	case i < 0 || t.results[i] != nil:
		return false
	case n.Result == nil:
		if !t.running[i] {
			t.running[i] = true
			t.started = append(t.started, i)
		}
	default:
		t.results[i] = n.Result
		t.arrived = append(t.arrived, i)
		if e := n.Result.Error; e != nil {
			t.failed++
			if e.Code == ocelli.Cancelled {
				t.dropped++
			}
		}
	}
	return true
}

func (t *tracked) announce(now time.Time) {
	close(t.changed)
	t.changed = make(chan struct{})
	t.touched = now
	t.patience = repairFirst
	t.repair = now.Add(t.patience)
}

// left is how many images have no result yet.
func (t *tracked) left() int { return len(t.results) - len(t.arrived) }

func (t *tracked) finished() bool { return t.settled && t.left() == 0 }

// job returns a copy for people to look at.
func (t *tracked) job() *ocelli.Job {
	id := string(t.manifest.ID)
	j := &ocelli.Job{
		ID: t.manifest.ID, State: ocelli.JobRunning, Created: t.manifest.Created, Deadline: t.manifest.Deadline,
		Total: len(t.results), Done: len(t.arrived) - t.failed, Failed: t.failed,
		Images: make([]ocelli.ImageStatus, len(t.results)),
		Links: ocelli.JobLinks{
			Self: "/v1/jobs/" + id, Events: "/v1/jobs/" + id + "/events", CSV: "/v1/jobs/" + id + "/results.csv", Page: "/jobs/" + id,
		},
	}
	switch {
	case t.finished() && t.dropped > 0:
		j.State = ocelli.JobCancelled
	case t.finished():
		j.State = ocelli.JobDone
	}
	for i := range t.manifest.Images {
		j.Images[i] = t.image(i)
	}
	return j
}

// image returns a copy of the state of the image at place i, from 0.
func (t *tracked) image(i int) ocelli.ImageStatus {
	image := t.manifest.Images[i]
	s := ocelli.ImageStatus{ID: image.ID, Name: image.Name, State: ocelli.ImageWaiting}
	switch r := t.results[i]; {
	case r != nil && r.Error != nil:
		s.State, s.Error = ocelli.ImageFailed, r.Error
	case r != nil:
		s.State, s.Result = ocelli.ImageDone, r
	case t.running[i]:
		s.State = ocelli.ImageRunning
	}
	return s
}
