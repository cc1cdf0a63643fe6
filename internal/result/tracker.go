package result

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
)

const (
	repairFirst  = 2 * time.Second  // silence after which a job's results are read from the store
	repairMost   = 30 * time.Second // the same, once reading has found nothing new several times
	keepFinished = 30 * time.Second // how long a finished job is remembered after the last question
	keepRunning  = 10 * time.Minute // the same for one of which nothing is heard either
	loadTime     = time.Minute      // for reading one job from the store
	// mostResults bounds the results in memory, at about 2 KB each: jobs that nobody waits for are forgotten beyond it.
	mostResults = 20_000
)

// Tracker knows the state of jobs, for one web node: from notices while they come, and from the store for the
// rest, so that any node can answer for any job, also after a restart. Its methods may be called from
// any number of goroutines; [Tracker.Run] must be running for notices to arrive.
type Tracker struct {
	store *Store
	topic string
	log   *slog.Logger
	seen  func(ocelli.Result)
	// Ended, where it is not nil, is called for each job that is known here when it ends. It must not block. It is set before Run.
	Ended func(ocelli.JobID)
	// Forecaster, where it is not nil, tells when jobs will be done. It is set before Run.
	Forecaster Forecaster
	// Keep is how long jobs are kept, from when they were accepted; 0 is for ever. It is set before Run.
	Keep time.Duration

	mu    sync.Mutex
	jobs  map[ocelli.JobID]*tracked
	held  int        // images of jobs
	open  []*tracked // those of jobs that have not finished, in the order in which they became known
	loads map[ocelli.JobID]*loading
}

// NewTracker returns a tracker that listens on topic. seen, where it is not nil, is called once for each result of the jobs that this
// node has accepted, from one goroutine at a time.
func NewTracker(store *Store, topic string, log *slog.Logger, seen func(ocelli.Result)) *Tracker {
	if seen == nil {
		seen = func(ocelli.Result) {}
	}
	return &Tracker{store: store, topic: topic, log: log, seen: seen, jobs: map[ocelli.JobID]*tracked{}, loads: map[ocelli.JobID]*loading{}}
}

// Topic is the topic on which the tracker listens: what a [ocelli.Task] carries as ReplyTo.
func (t *Tracker) Topic() string { return t.topic }

// Run listens and repairs until ctx ends.
func (t *Tracker) Run(ctx context.Context) error {
	stop, err := t.store.Bus.Subscribe(ctx, t.topic, t.hear)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it ends before it has begun
		}
		return fmt.Errorf("listening for results: %w", err)
	}
	defer stop()
	tick := time.NewTicker(repairFirst / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, id := range t.due(time.Now()) {
				t.repair(ctx, id)
			}
			for _, id := range t.stale(time.Now()) {
				t.recheck(ctx, id)
			}
		}
	}
}

// hear takes in one message of the bus.
func (t *Tracker) hear(body []byte) {
	var n Notice
	if err := json.Unmarshal(body, &n); err != nil {
		t.log.Warn("a notice could not be read and is ignored", "error", err)
		return
	}
	if n.Result != nil && n.Result.Image != n.Image {
		t.log.Warn("a notice of one image holds the result of another and is ignored", "image", n.Image, "result", n.Result.Image)
		return
	}
	t.note(n)
}

func (t *Tracker) note(n Notice) {
	id, _, _ := n.Image.Split()
	t.mu.Lock()
	defer t.mu.Unlock()
	if job := t.jobs[id]; job != nil && job.note(n) {
		job.announce(time.Now())
		if n.Result != nil && job.begun {
			t.seen(*n.Result)
		}
		t.check(job)
	}
}

// Begin makes the tracker expect results of a job whose upload begins, and which has no images yet. It must come before the first
// message of the job is sent. The upload ends with [Tracker.Settle] or [Tracker.Abandon].
func (t *Tracker) Begin(m ocelli.Manifest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	job := newTracked(m)
	job.begun = true
	t.keep(job)
}

// Add adds the next image to a job that was begun, before its message is sent.
func (t *Tracker) Add(image ocelli.Image) {
	id, _, _ := image.ID.Split()
	t.mu.Lock()
	defer t.mu.Unlock()
	if job := t.jobs[id]; job != nil {
		job.add(image)
		t.held++
		job.announce(time.Now())
	}
}

// Settle tells that the job has all its images, and returns them.
func (t *Tracker) Settle(id ocelli.JobID) (ocelli.Manifest, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	job := t.jobs[id]
	if job == nil {
		return ocelli.Manifest{}, fmt.Errorf("job %s was never begun", id)
	}
	job.settled = true
	job.announce(time.Now())
	if eta, _, known := t.forecast(job); known {
		job.promised, job.promisedAt = eta, time.Now()
	}
	t.check(job)
	return job.manifest, nil
}

// check tells when a job has finished, and holds what was promised of it against what came.
func (t *Tracker) check(job *tracked) {
	if !job.finished() {
		return
	}
	t.close(job)
	if t.Ended != nil {
		t.Ended(job.manifest.ID)
	}
	if job.promised > 0 {
		if job.dropped == 0 { // a cancelled job came early, but not because of the forecast
			t.Forecaster.Came(job.promised, time.Since(job.promisedAt))
		}
		job.promised = 0
	}
}

// Took reports whether the upload of a job came through this node and is under way, or ended a while ago at most.
func (t *Tracker) Took(id ocelli.JobID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	job := t.jobs[id]
	return job != nil && job.begun
}

// Abandon forgets a job whose upload was broken off, and returns the images that it had.
func (t *Tracker) Abandon(id ocelli.JobID) []ocelli.Image {
	t.mu.Lock()
	defer t.mu.Unlock()
	job := t.jobs[id]
	if job == nil {
		return nil
	}
	t.drop(job)
	close(job.changed)
	return job.manifest.Images
}

// Known returns nil where there is such a job, and otherwise what [Tracker.Job] would.
func (t *Tracker) Known(ctx context.Context, id ocelli.JobID) error { return t.load(ctx, id) }

// Image returns the state of one image; its errors are those of [Tracker.Job].
func (t *Tracker) Image(ctx context.Context, id ocelli.ImageID) (*ocelli.ImageStatus, error) {
	missing := ocelli.Errorf(ocelli.NotFound, "there is no image %.40q: it was never accepted, or it was deleted", string(id))
	jobID, _, ok := id.Split()
	if !ok {
		return nil, missing
	}
	if err := t.load(ctx, jobID); err != nil {
		if ocelli.AsError(err) != nil {
			return nil, missing
		}
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	job := t.jobs[jobID]
	if job == nil || job.index(id) < 0 {
		return nil, missing
	}
	job.touched = time.Now()
	status := job.image(job.index(id))
	return &status, nil
}

// Job returns the state of a job. Where there is no such job, the error is an [ocelli.Error] with code
// NotFound.
func (t *Tracker) Job(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	if err := t.load(ctx, id); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	job := t.jobs[id]
	if job == nil {
		return nil, notFound(id)
	}
	job.touched = time.Now()
	j := job.job()
	if t.Keep > 0 {
		at := j.Created.Add(t.Keep)
		j.Expires = &at
	}
	if eta, p90, known := t.forecast(job); known {
		at, at90 := time.Now().Add(eta).UTC(), time.Now().Add(p90).UTC()
		j.ETA, j.ETAP90 = &at, &at90
	}
	return j, nil
}

// Wait returns the state of a job as soon as it has finished, or, with no error, as it is when ctx ends.
func (t *Tracker) Wait(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	for range t.Watch(ctx, id, "") {
		continue
	}
	return t.Job(context.WithoutCancel(ctx), id)
}

// Watch yields the results of a job in the order in which they came, each with a mark. It begins after the result with the
// mark after, and at the first where that is empty or of another life: the order is that of this node and is lost when the node
// restarts or forgets the job, so a mark means something to the tracker that gave it only. It ends when the job has
// finished, when ctx ends, or where there is no such job.
func (t *Tracker) Watch(ctx context.Context, id ocelli.JobID, after string) iter.Seq2[string, ocelli.Result] {
	return func(yield func(string, ocelli.Result) bool) {
		for e := range t.Follow(ctx, id, after) {
			if e.Result != nil && !yield(e.Mark, *e.Result) {
				return
			}
		}
	}
}

// Event is something that happened in a job: an image has its result, or, where Result is nil, a worker has it in hand.
type Event struct {
	Image  ocelli.ImageID
	Result *ocelli.Result // must not be changed
	Mark   string         // of a result; see [Tracker.Watch]
}

// Follow yields what [Tracker.Watch] yields, and also the images that workers have in hand, as long as they have no result yet. That
// is a hint: not every image is told of, and one that came back to the queue is not told of again.
func (t *Tracker) Follow(ctx context.Context, id ocelli.JobID, after string) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if t.load(ctx, id) != nil {
			return
		}
		t.mu.Lock()
		job := t.jobs[id]
		if job == nil {
			t.mu.Unlock()
			return
		}
		job.waiting++
		defer func() {
			t.mu.Lock()
			job.waiting--
			job.touched = time.Now()
			t.mu.Unlock()
		}()
		t.mu.Unlock()
		at := cursor{next: job.placeAfter(after)}
		for {
			events, changed, finished := t.since(job, &at)
			for _, e := range events {
				if !yield(e) {
					return
				}
			}
			if finished {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
				if t.gone(id, job) {
					return
				}
			}
		}
	}
}

// cursor is how far somebody has followed a job: the numbers of the next image taken in hand, and of the next result.
type cursor struct{ begun, next int }

// since returns what has happened since the cursor, which it moves on, the channel that closes at the next change, and whether these
// were the last events.
func (t *Tracker) since(job *tracked, at *cursor) (events []Event, changed <-chan struct{}, finished bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, i := range job.started[at.begun:] {
		if job.results[i] == nil {
			events = append(events, Event{Image: job.manifest.Images[i].ID})
		}
	}
	at.begun = len(job.started)
	for ; at.next < len(job.arrived); at.next++ {
		r := job.results[job.arrived[at.next]]
		events = append(events, Event{Image: r.Image, Result: r, Mark: job.mark(at.next)})
	}
	return events, job.changed, job.finished()
}

func (t *Tracker) gone(id ocelli.JobID, job *tracked) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.jobs[id] != job
}

func notFound(id ocelli.JobID) error {
	return ocelli.Errorf(ocelli.NotFound, "there is no job %.40q: it was never accepted, or it was deleted", string(id))
}

// load makes sure that the job is known and its results are read. For whoever may not see the job there is none: every way to it
// leads through here.
func (t *Tracker) load(ctx context.Context, id ocelli.JobID) error {
	const tries = 3
	for range tries {
		if err := t.fetch(ctx, id); err != nil {
			return err
		}
		t.mu.Lock()
		job := t.jobs[id]
		may := job != nil && access.MaySee(ctx, job.manifest.Owner)
		t.mu.Unlock()
		switch {
		case may:
			return nil
		case job != nil:
			return notFound(id)
		} // else others needed its place at once
	}
	return ocelli.Errorf(ocelli.Unavailable, "too many jobs are watched to look at one more: try again")
}

// fetch reads a job from the store unless it is known. Of many calls for one job one reads, and the others wait for it.
func (t *Tracker) fetch(ctx context.Context, id ocelli.JobID) error {
	if !id.Valid() {
		return notFound(id)
	}
	t.mu.Lock()
	if t.jobs[id] != nil {
		t.mu.Unlock()
		return nil
	}
	l := t.loads[id]
	if l == nil {
		l = &loading{done: make(chan struct{})}
		t.loads[id] = l
		// It goes on for the others when the first who asked has gone.
		go t.read(context.WithoutCancel(ctx), id, l)
	}
	t.mu.Unlock()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loading is a job that is being read from the store.
type loading struct {
	done chan struct{} // closed at the end
	err  error         // set before that
}

// read makes a job known, whole.
func (t *Tracker) read(ctx context.Context, id ocelli.JobID, l *loading) {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	job, err := t.fromStore(ctx, id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && t.jobs[id] == nil {
		t.keep(job)
	}
	l.err = err
	delete(t.loads, id)
	close(l.done)
}

func (t *Tracker) fromStore(ctx context.Context, id ocelli.JobID) (*tracked, error) {
	seen, err := t.stampOf(ctx, id)
	if err != nil {
		return nil, err
	}
	m, err := t.store.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, err
	}
	images := m.Images
	m.Images = nil
	job := newTracked(*m)
	job.add(images...)
	job.settled = true
	job.stamp = seen
	job.touched = time.Now()
	job.checked = job.touched
	job.repair = time.Now().Add(repairFirst)
	for r, err := range t.stored(ctx, id, job.missing) {
		if err != nil {
			return nil, err
		}
		job.note(Notice{Image: r.Image, Result: r})
	}
	return job, nil
}

// keep makes a job known. Where that makes too many results, jobs that nobody waits for are forgotten, those not asked for longest first,
// and a tenth more of them than must be, so that this is seldom.
func (t *Tracker) keep(job *tracked) {
	if t.held+len(job.results) > mostResults {
		var idle []*tracked
		for _, other := range t.jobs {
			if other.settled && other.waiting == 0 {
				idle = append(idle, other)
			}
		}
		slices.SortFunc(idle, func(a, b *tracked) int { return a.touched.Compare(b.touched) })
		for _, other := range idle {
			if t.held+len(job.results) <= mostResults*9/10 {
				break
			}
			t.drop(other)
		}
	}
	t.jobs[job.manifest.ID] = job
	t.held += len(job.results)
	if !job.finished() {
		t.open = append(t.open, job)
	}
}

// drop forgets a job.
func (t *Tracker) drop(job *tracked) {
	delete(t.jobs, job.manifest.ID)
	t.held -= len(job.results)
	t.close(job)
}

// close takes a job out of those that have not finished.
func (t *Tracker) close(job *tracked) {
	if i := slices.Index(t.open, job); i >= 0 {
		t.open = slices.Delete(t.open, i, i+1)
	}
}

// due returns the jobs whose results should be read from the store, and forgets those that nobody asks for.
func (t *Tracker) due(now time.Time) []ocelli.JobID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []ocelli.JobID
	for id, job := range t.jobs {
		idle := now.Sub(job.touched)
		switch {
		case job.settled && job.waiting == 0 && (job.finished() && idle > keepFinished || idle > keepRunning):
			t.drop(job)
		case !job.finished() && now.After(job.repair):
			job.patience = min(2*job.patience, repairMost)
			job.repair = now.Add(job.patience)
			ids = append(ids, id)
		}
	}
	return ids
}

// Overdue returns the jobs that are known here and have not finished although their deadline has passed.
func (t *Tracker) Overdue(now time.Time) []ocelli.JobID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []ocelli.JobID
	for _, job := range t.open {
		if by := job.manifest.Deadline; !by.IsZero() && now.After(by) && job.settled {
			ids = append(ids, job.manifest.ID)
		}
	}
	return ids
}

// repair reads the results of a job that are in the store and were not heard of.
func (t *Tracker) repair(ctx context.Context, id ocelli.JobID) {
	missing := func(image ocelli.ImageID) bool {
		t.mu.Lock()
		defer t.mu.Unlock()
		job := t.jobs[id]
		return job != nil && job.missing(image)
	}
	for r, err := range t.stored(ctx, id, missing) {
		if err != nil {
			t.log.Warn("results could not be read from the store; trying again", "job", id, "error", err)
			return
		}
		t.note(Notice{Image: r.Image, Result: r})
	}
}

// stored yields the results of a job that are in the store and that wanted asks for. It ends after the first error of the store's
// list. A single result that cannot be read is logged and passed over: it must not hide the others.
func (t *Tracker) stored(ctx context.Context, id ocelli.JobID, wanted func(ocelli.ImageID) bool) iter.Seq2[*ocelli.Result, error] {
	return func(yield func(*ocelli.Result, error) bool) {
		for info, err := range t.store.Blobs.List(ctx, path.Dir(ocelli.OutputKey(id, "x"))+"/") {
			if err != nil {
				yield(nil, fmt.Errorf("listing the results of job %s: %w", id, err))
				return
			}
			image := ocelli.ImageID(strings.TrimSuffix(path.Base(info.Key), ".json"))
			if !wanted(image) {
				continue
			}
			r, err := t.store.Load(ctx, id, image)
			if err != nil {
				t.log.Warn("a result could not be read and is passed over", "job", id, "image", image, "error", err)
				continue
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}
