// Package work is what a worker does: it leases images, classifies them and saves what it found.
package work

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
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
// and returns nil. When ctx ends it returns at once; what it held comes back to the queue when the leases pass.
func (w *Worker) Run(ctx context.Context, drain <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go w.extend(ctx)

	hands := make(chan *queue.Delivery)
	var busy sync.WaitGroup
	for range w.Concurrency {
		busy.Go(func() {
			for d := range hands {
				if w.handle(ctx, *d) {
					w.Reporter.Settled(1)
				} else {
					w.Reporter.GaveBack(1)
				}
				w.leases.drop(d)
			}
		})
	}
	w.lease(ctx, drain, hands)
	close(hands)
	busy.Wait()
	return nil
}

// lease receives deliveries and gives them to the hands, until drain is closed. It leases no more than the hands can take up and
// as many again, so that a hand never waits for the queue and other workers get their share.
func (w *Worker) lease(ctx context.Context, drain <-chan struct{}, hands chan<- *queue.Delivery) {
	failures := 0
	for ctx.Err() == nil {
		select {
		case <-drain:
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

// handle takes one delivery to its end, and reports whether that is a result that stands: saved and acknowledged, and
// not given back.
func (w *Worker) handle(ctx context.Context, d queue.Delivery) bool {
	leased := time.Now()
	task, err := ocelli.DecodeTask(d.Body)
	if err != nil {
		w.Log.Error("a message that is no task is dropped", "worker", w.Name, "message", d.ID, "error", err)
		w.ack(ctx, d)
		return true
	}
	res := ocelli.Result{
		Image: task.Image, Job: task.Job(), Name: task.Name, Labels: []ocelli.Label{},
		Worker: w.Name, Attempt: d.Attempt,
		Timings: ocelli.Timings{Queued: ms(leased.Sub(task.Accepted))},
	}
	log := w.Log.With("job", res.Job, "image", res.Image, "attempt", d.Attempt, "worker", w.Name)

	touched := 0
	if suspect := d.Attempt > 1; suspect {
		w.alone.Lock()
		defer w.alone.Unlock()
		touched, err = w.try(ctx, task.Image, w.MaxAttempts)
	} else {
		w.alone.RLock()
		defer w.alone.RUnlock()
	}
	switch {
	case err != nil:
	case touched >= w.MaxAttempts:
		err = ocelli.Errorf(ocelli.GaveUp, "%s was given up after %d attempts, in which its worker crashed or fell silent: "+
			"the file may be damaged", task.Name, touched)
	default:
		err = w.recognise(ctx, task, &res)
		touched++
	}
	res.Error = ocelli.AsError(err)
	switch {
	case ctx.Err() != nil:
		return false // the lease passes, and another worker takes over
	case err != nil && res.Error == nil && touched < w.MaxAttempts:
		w.giveBack(ctx, d, err, log)
		return false
	case err != nil && res.Error == nil:
		res.Error = ocelli.Errorf(ocelli.GaveUp, "%s could not be classified in %d attempts (%v): send it again later", task.Name, touched, err)
	}

	if _, err := w.Results.Save(ctx, res, task.ReplyTo); err != nil {
		w.giveBack(ctx, d, err, log)
		return false
	}
	w.ack(ctx, d)
	if d.Attempt > 1 {
		forget(ctx, w.Blobs, task.Image)
	}
	log = log.With("queued_ms", res.Timings.Queued, "fetch_ms", res.Timings.Fetch, "decode_ms", res.Timings.Decode,
		"infer_ms", res.Timings.Infer, "took", time.Since(leased).Round(10*time.Microsecond))
	if res.Error != nil {
		log.Info("image failed", "code", res.Error.Code, "error", res.Error.Message)
	} else {
		log.Info("image done", "label", res.Labels[0].Name, "score", res.Labels[0].Score)
	}
	return true
}

// recognise fills in res: get, decode, classify. An [ocelli.Error] is the image's own and permanent.
func (w *Worker) recognise(ctx context.Context, task ocelli.Task, res *ocelli.Result) error {
	w.Results.Started(ctx, task.Image, task.ReplyTo)
	ctx, cancel := context.WithTimeout(ctx, w.ImageTime)
	defer cancel()

	began := time.Now()
	data, err := w.get(ctx, ocelli.InputKey(res.Job, task.Image))
	res.Timings.Fetch = ms(time.Since(began))
	if errors.Is(err, blob.ErrNotFound) {
		return ocelli.Errorf(ocelli.Cancelled, "%s was taken back before its turn", task.Name)
	}
	if err != nil {
		return err
	}

	began = time.Now()
	picture, err := w.Decoder.Decode(ctx, data, w.Classifier.ShortSide())
	res.Timings.Decode = ms(time.Since(began))
	if e := ocelli.AsError(err); e != nil {
		return ocelli.Errorf(e.Code, "%s %s", task.Name, e.Message)
	}
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	res.Width, res.Height = picture.FullWidth, picture.FullHeight

	began = time.Now()
	labels, err := w.Classifier.Classify(ctx, picture.Pixels)
	res.Timings.Infer = ms(time.Since(began))
	if err != nil {
		return fmt.Errorf("classifying: %w", err)
	}
	model := w.Classifier.Model()
	res.Labels, res.Model = labels[0], &model
	return nil
}

// get reads the bytes of an image. What is longer than intake would have accepted was not put there by intake.
func (w *Worker) get(ctx context.Context, key string) ([]byte, error) {
	r, err := w.Blobs.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, w.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	if int64(len(data)) > w.MaxBytes {
		return nil, ocelli.Errorf(ocelli.TooLarge, "the image has more than %d bytes, the limit of this worker", w.MaxBytes)
	}
	return data, nil
}

func (w *Worker) giveBack(ctx context.Context, d queue.Delivery, why error, log *slog.Logger) {
	delay := backoff(d.Attempt)
	log.Warn("image is given back and tried again", "after", delay, "error", why)
	if err := w.Queue.Nack(ctx, delay, d); err != nil && ctx.Err() == nil {
		log.Warn("image could not be given back; it comes again when its lease passes", "error", err)
	}
}

// ack settles a delivery. Where that fails the image comes again, and the result that stands is found.
func (w *Worker) ack(ctx context.Context, d queue.Delivery) {
	if err := w.Queue.Ack(ctx, d); err != nil && ctx.Err() == nil {
		w.Log.Warn("a message could not be acknowledged; it comes again", "worker", w.Name, "message", d.ID, "error", err)
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
