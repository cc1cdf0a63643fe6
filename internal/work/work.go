// Package work is what a worker does: it leases images, classifies them and saves what it found.
package work

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/telemetry"
)

// Decoder turns the bytes of an image into upright pixels; see [decode.Decoder].
type Decoder interface {
	Decode(ctx context.Context, data []byte, shortSide int) (decode.Picture, error)
}

// Config says how a worker works.
type Config struct {
	Name        string
	Concurrency int           // images that are decoded and classified at once, at least 1
	Lease       time.Duration // of the queue; leases are extended three times as often
	LeaseWait   time.Duration // how long one call waits for messages, and so the longest that an idle worker takes to drain
	MaxAttempts int           // times that an image is touched before it is given up
	MaxBytes    int64         // of one image
	ImageTime   time.Duration // for one image, decoding and inference together
}

// Worker is a loop around a queue. Its fields are set before [Worker.Run].
type Worker struct {
	Config
	Queue      queue.Queue
	Blobs      blob.Store
	Results    *result.Store
	Decoder    Decoder
	Classifier classify.Classifier
	Log        *slog.Logger
	Tracer     *telemetry.Tracer // nil where nothing is traced
	Reporter   Reporter
	Stuck      func() // called when an image cannot be stopped; it must end the process

	// Of one Run:
	drain <-chan struct{}
	stop  context.CancelCauseFunc
	store string // the identity of Blobs

	leases  leases
	acks    acks
	pace    pace
	loading chan struct{} // holds one for each image whose bytes are in memory, twice as many as Concurrency at most
	looking chan struct{} // holds one for each image that is decoded or classified
	alone   sync.RWMutex  // held for writing while a suspect is in hand; see trial.go
}

// Reporter is told what the worker has in hand; see [fleet.Reporter].
type Reporter interface {
	Leased(n int)   // n more images
	Settled(n int)  // n less, which have their results
	GaveBack(n int) // n less, which have none
}

// Run leases and works until drain is closed or ctx ends. When drain is closed it leases no more, finishes what it holds
// and returns nil. When ctx ends it returns at once; what it held comes back to the queue when the leases pass. An error says
// that this worker cannot do this work: it leases no more, so that others can.
func (w *Worker) Run(ctx context.Context, drain <-chan struct{}) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w.drain, w.stop = drain, stop
	err := w.insist(ctx, "looking at the store", w.Log, func() (err error) {
		w.store, err = blob.Identity(ctx, w.Blobs)
		return err
	})
	if err != nil {
		return nil // it was told to end before the store answered
	}

	w.loading, w.looking = make(chan struct{}, 2*w.Concurrency), make(chan struct{}, w.Concurrency)
	var extending sync.WaitGroup
	extendCtx, enough := context.WithCancel(ctx)
	extending.Go(func() { w.extend(extendCtx) })
	w.lease(ctx)
	enough()
	extending.Wait()
	if err := context.Cause(ctx); errors.Is(err, errWrongStore) {
		return err
	}
	return nil
}

// lease receives deliveries and works on them side by side, until the worker is drained and they are done. It leases so many that it
// does not have to wait for the queue or the disk while it could work, and no more, so that other workers get their share.
func (w *Worker) lease(ctx context.Context) {
	var hands sync.WaitGroup
	defer hands.Wait()
	free := make(chan struct{}, mostAhead(w.Concurrency)) // one for each image that is done; there is room for all, as nobody may listen any more
	failures := 0
	for held := 0; ctx.Err() == nil; {
		// Rather some together than each as soon as it can be had: a call costs the same for one as for ten.
		most := w.pace.ahead(w.Concurrency)
		for held > most/2 {
			select {
			case <-free:
				held--
				most = w.pace.ahead(w.Concurrency)
			case <-w.drain:
				return
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-w.drain:
			return
		default:
		}
		ds, err := w.Queue.Receive(ctx, min(most-held, queue.MaxReceive), w.LeaseWait)
		if err != nil && ctx.Err() == nil {
			failures++
			w.Log.Warn("the queue does not answer; trying again", "worker", w.Name, "error", err)
			select {
			case <-time.After(backoff(failures)):
			case <-w.drain:
			case <-ctx.Done():
			}
			continue
		}
		failures = 0
		held += len(ds)
		w.Reporter.Leased(len(ds))
		for _, d := range w.enter(ds) {
			hands.Go(func() {
				if w.handle(ctx, d) {
					w.Reporter.Settled(1)
				} else {
					w.Reporter.GaveBack(1)
				}
				w.leases.drop(d)
				free <- struct{}{}
			})
		}
	}
}

// enter makes that the leases of deliveries are extended, and returns these with suspects last, so that a crash of one
// finds the others done.
func (w *Worker) enter(ds []queue.Delivery) []*queue.Delivery {
	leased := make([]*queue.Delivery, len(ds))
	for i := range ds {
		leased[i] = &ds[i]
	}
	slices.SortStableFunc(leased, func(a, b *queue.Delivery) int { return cmp.Compare(a.Attempt, b.Attempt) })
	w.leases.add(leased)
	return leased
}

// extend renews the leases of everything in hand until ctx ends.
func (w *Worker) extend(ctx context.Context) {
	tick := time.NewTicker(w.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if held := w.leases.held(); len(held) > 0 {
			if err := w.Queue.Extend(ctx, held...); err != nil && ctx.Err() == nil {
				w.Log.Warn("leases could not be extended; others may do the same images again", "worker", w.Name, "leases", len(held), "error", err)
			}
		}
	}
}

// backoff is how long to wait after n failures in a row: from 0.2 s, doubling, to 10 s.
func backoff(n int) time.Duration {
	return min(200*time.Millisecond<<min(n-1, 10), 10*time.Second)
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(max(d, 0).Microseconds()) / 1000 }
