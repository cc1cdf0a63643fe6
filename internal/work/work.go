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
)

// Decoder turns the bytes of an image into upright pixels; see [decode.Decoder].
type Decoder interface {
	Decode(ctx context.Context, data []byte, shortSide int) (decode.Picture, error)
}

// Config says how a worker works.
type Config struct {
	Name        string
	Concurrency int           // images in hand at once, at least 1
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
	Reporter   Reporter
	Stuck      func() // called when an image cannot be stopped; it must end the process

	// Of one Run:
	drain <-chan struct{}
	stop  context.CancelCauseFunc
	store string // the identity of Blobs

	leases leases
	alone  sync.RWMutex // held for writing while a suspect is in hand; see trial.go
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

	hands := make(chan *queue.Delivery)
	var busy, extending sync.WaitGroup
	extendCtx, enough := context.WithCancel(ctx)
	extending.Go(func() { w.extend(extendCtx) })
	for range w.Concurrency {
		busy.Go(func() {
			for d := range hands {
				if w.handle(ctx, d) {
					w.Reporter.Settled(1)
				} else {
					w.Reporter.GaveBack(1)
				}
				w.leases.drop(d)
			}
		})
	}
	w.lease(ctx, hands)
	close(hands)
	busy.Wait()
	enough()
	extending.Wait()
	if err := context.Cause(ctx); errors.Is(err, errWrongStore) {
		return err
	}
	return nil
}

// lease receives deliveries and gives them to the hands, until the worker is drained. It leases no more than the hands can take up
// and as many again, so that a hand never waits for the queue and other workers get their share.
func (w *Worker) lease(ctx context.Context, hands chan<- *queue.Delivery) {
	failures := 0
	for ctx.Err() == nil {
		select {
		case <-w.drain:
			return
		default:
		}
		ds, err := w.Queue.Receive(ctx, min(max(2, w.Concurrency), 10), w.LeaseWait)
		if err != nil && ctx.Err() == nil {
			failures++
			w.Log.Warn("the queue does not answer; trying again", "worker", w.Name, "error", err)
			sleep(ctx, backoff(failures))
			continue
		}
		failures = 0
		leased := make([]*queue.Delivery, len(ds))
		for i := range ds {
			leased[i] = &ds[i]
		}
		// Suspects come last, so that a crash of one finds the others done.
		slices.SortStableFunc(leased, func(a, b *queue.Delivery) int { return cmp.Compare(a.Attempt, b.Attempt) })
		w.leases.add(leased)
		w.Reporter.Leased(len(ds))
		for _, d := range leased {
			select {
			case hands <- d:
			case <-ctx.Done():
				return
			}
		}
	}
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

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// ms is a duration in milliseconds, to the microsecond.
func ms(d time.Duration) float64 { return float64(max(d, 0).Microseconds()) / 1000 }
