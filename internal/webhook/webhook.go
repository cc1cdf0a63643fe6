// Package webhook tells servers elsewhere when jobs have ended: signed, at least once, again and again for a day where they do not
// answer, and also after a crash of this node.
package webhook

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fetch"
	"github.com/ocelli/ocelli/internal/result"
)

const (
	sweepEvery   = time.Minute // how often the store is looked through for promises of other nodes and of other lives
	lookFirst    = time.Second // after which a job that has not ended is looked at again, where nobody says that it has; doubled each time
	lookMost     = 10 * time.Minute
	retryFirst   = 5 * time.Second // after the first attempt that failed; doubled after each further one
	retryMost    = time.Hour
	mostAttempts = 33 // which takes about a day
	mostAtOnce   = 16
	answerTime   = 15 * time.Second
)

// Sender keeps the promises to tell of jobs. Its fields are set before first use; its methods may be called from any number of
// goroutines; [Sender.Run] must be running for anything to be told.
//
// A promise is a blob, made before the job is accepted and deleted when it is kept. Every node looks after every promise: which
// node makes an attempt is decided by who enters it in the store.
type Sender struct {
	Blobs   blob.Store
	Results *result.Store
	Tracker *result.Tracker
	Policy  fetch.Policy // whom it may tell
	Client  *http.Client // see [NewClient]
	Secrets Secrets      // none means that nothing is told
	Log     *slog.Logger

	mu       sync.Mutex
	promises map[ocelli.JobID]*promise
	wake     chan struct{}
}

// NewClient returns a client that tells whom the policy permits, and does not go where it is sent on: receivers give their address.
func NewClient(policy fetch.Policy) *http.Client {
	client := fetch.NewClient(policy, nil)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client
}

// promise is what this node knows of one.
type promise struct {
	attempts int       // that were entered, by any node
	looks    int       // at its job, which had not ended
	next     time.Time // when to do something about it
	busy     bool      // it is being done
	again    bool      // the job has ended meanwhile
}

// patience is how long to wait before the next look.
func (p *promise) patience() time.Duration {
	p.looks++
	return min(lookFirst<<min(p.looks-1, 20), lookMost)
}

// Check returns an [ocelli.Error] in a whole sentence where a URL cannot be told.
func (s *Sender) Check(url string) error {
	if s == nil || len(s.Secrets) == 0 || s.Policy.None() {
		return ocelli.Errorf(ocelli.FetchRefused, "this service tells no webhooks: its operator can give it a secret in OCELLI_WEBHOOK_SECRET")
	}
	if _, err := s.Policy.Check(url); err != nil {
		e := ocelli.AsError(err)
		if e.Code == ocelli.FetchRefused {
			return ocelli.Errorf(e.Code, "this service does not tell the host of the webhook: its operator decides about that")
		}
		return ocelli.Errorf(e.Code, "the webhook %s", e.Message)
	}
	return nil
}

// Expect promises to tell the job's webhook. When it returns without error the promise survives a crash. It is kept once the job has a
// manifest and has ended, and is void where it never gets one.
func (s *Sender) Expect(ctx context.Context, m ocelli.Manifest) error {
	if _, err := s.Blobs.Create(ctx, recordKey(m.ID), []byte(m.Webhook)); err != nil {
		return err
	}
	s.add(m.ID, 0, time.Now().Add(lookFirst))
	return nil
}

// Ended makes the sender look at a job at once. It does not block.
func (s *Sender) Ended(id ocelli.JobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.promises[id]; p != nil && p.attempts == 0 {
		p.next, p.again = time.Now(), p.busy
		s.rouse()
	}
}

// add takes up a promise unless it is known.
func (s *Sender) add(id ocelli.JobID, attempts int, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepare()
	if s.promises[id] == nil {
		s.promises[id] = &promise{attempts: attempts, next: next}
		s.rouse()
	}
}

func (s *Sender) prepare() {
	if s.promises == nil {
		s.promises, s.wake = map[ocelli.JobID]*promise{}, make(chan struct{}, 1)
	}
}

func (s *Sender) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run keeps promises until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	s.mu.Lock()
	s.prepare()
	s.mu.Unlock()
	var working errgroup.Group
	working.SetLimit(mostAtOnce)
	defer func() { _ = working.Wait() }()
	for sweep := time.Now(); ; {
		if now := time.Now(); !now.Before(sweep) {
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("promised webhooks could not be listed; trying again", "error", err)
			}
			sweep = now.Add(sweepEvery)
		}
		due, next := s.due(time.Now())
		for _, id := range due {
			working.Go(func() error { s.keep(ctx, id); return nil })
		}
		if next.IsZero() || sweep.Before(next) {
			next = sweep
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-s.wake:
			timer.Stop()
		}
	}
}

// due returns the promises to do something about now, and when the next one comes.
func (s *Sender) due(now time.Time) (ids []ocelli.JobID, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.promises {
		switch {
		case p.busy:
		case !p.next.After(now):
			p.busy = true
			ids = append(ids, id)
		case next.IsZero() || p.next.Before(next):
			next = p.next
		}
	}
	return ids, next
}

// keep does what can be done about one promise now.
func (s *Sender) keep(ctx context.Context, id ocelli.JobID) {
	log := s.Log.With("job", id)
	wait, err := s.advance(ctx, id, log)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.promises[id]
	p.busy = false
	switch {
	case err == nil && wait == never:
		delete(s.promises, id)
		return
	case err != nil && ctx.Err() == nil:
		log.Warn("a webhook could not be looked after; trying again", "error", err)
	}
	if err != nil || wait == later {
		wait = p.patience()
	}
	p.next = time.Now().Add(wait)
	if p.again {
		p.next, p.again = time.Now(), false
	}
	s.rouse()
}

// When to come back to a promise, where it is no time of its own.
const (
	never time.Duration = -1
	later time.Duration = 0
)

// advance makes an attempt if it is time for one, and returns when to come back.
func (s *Sender) advance(ctx context.Context, id ocelli.JobID, log *slog.Logger) (time.Duration, error) {
	url, err := s.readRecord(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return never, nil // another node has kept it
	}
	if err != nil {
		return later, err
	}
	job, err := s.ended(ctx, id)
	if errors.Is(err, errVoid) {
		return never, s.forget(ctx, id)
	}
	if err != nil || job == nil {
		return later, err
	}
	attempt := s.count(id)
	if attempt > mostAttempts {
		log.Error("webhook given up", "attempts", mostAttempts)
		return never, s.forget(ctx, id)
	}
	if mine, err := s.Blobs.Create(ctx, attemptKey(id, attempt), nil); err != nil || !mine {
		return backoff(attempt), err
	}
	began := time.Now()
	done, err := s.tell(ctx, url, job)
	log = log.With("attempt", attempt, "took_ms", time.Since(began).Milliseconds())
	switch {
	case !done:
		log.Warn("webhook failed; trying again", "error", err)
		return backoff(attempt), nil
	case err != nil:
		log.Warn("webhook is not wanted", "error", err)
	default:
		log.Info("webhook told")
	}
	return never, s.forget(context.WithoutCancel(ctx), id)
}

// errVoid is the error of a promise without a job.
var errVoid = errors.New("there is no such job")

// ended returns the job once it has ended, and nil before that.
func (s *Sender) ended(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	_, err := s.Results.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		if time.Since(began(id)) > voidAfter {
			return nil, errVoid
		}
		return nil, nil // it may still be uploaded
	}
	if err != nil {
		return nil, err
	}
	job, err := s.Tracker.Job(ctx, id)
	if err != nil || !job.Finished() {
		return nil, err
	}
	return job, nil
}

// count counts the attempt that is about to be made, from 1.
func (s *Sender) count(id ocelli.JobID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promises[id].attempts++
	return s.promises[id].attempts
}

// backoff is how long to wait after the n-th attempt: a random part of it, so that many that failed together do not come back together.
func backoff(n int) time.Duration {
	most := min(retryFirst<<min(n-1, 20), retryMost)
	return most*3/4 + rand.N(most/2)
}
