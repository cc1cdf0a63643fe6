package work

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/telemetry"
)

var (
	// errDrained is the error of an image that could not be ended because the store did not answer until the worker was drained.
	errDrained = errors.New("the worker was drained while the store did not answer")
	// errTakenBack is the error of an image of a job that was not accepted in the end: nobody waits for its result.
	errTakenBack = errors.New("the job was taken back")
	// errWrongStore is the error of a worker that was given another store than the node that took the images.
	errWrongStore = errors.New("the images of this queue are kept in another store than the one this worker was given")
)

// handle takes one delivery to its end, and reports whether that is a result that stands: saved and acknowledged, and
// not given back.
func (w *Worker) handle(ctx context.Context, d *queue.Delivery) bool {
	leased := time.Now()
	task, err := ocelli.DecodeTask(d.Body)
	if err != nil {
		w.Log.Error("a message that is no task is dropped", "worker", w.Name, "message", d.ID, "error", err)
		w.ack(ctx, d)
		return true
	}
	log := w.Log.With("job", task.Job(), "image", task.Image, "attempt", d.Attempt, "worker", w.Name)
	if task.Store != w.store {
		w.stop(fmt.Errorf("%w: check --blobs", errWrongStore))
		return false
	}
	res := ocelli.Result{
		Image: task.Image, Job: task.Job(), Name: task.Name, Labels: []ocelli.Label{},
		Worker: w.Name, Attempt: d.Attempt,
	}
	ctx, traced := w.Tracer.Work(ctx, task, d.Attempt)
	defer traced(&res)

	if (d.Attempt > 1 || overdue(task)) && w.done(ctx, task, log) {
		w.ack(ctx, d)
		return true
	}
	// A suspect is alone until its result is kept: a crash of another one in between would count against it.
	if d.Attempt > 1 {
		w.alone.Lock()
		defer w.alone.Unlock()
	}
	touched, err := w.recognise(ctx, d, task, &res, log)
	res.Error = ocelli.AsError(err)
	switch {
	case ctx.Err() != nil:
		return false // the lease passes, and another worker takes over
	case errors.Is(err, errTakenBack):
		log.Info("image dropped: its job was taken back")
		w.ack(ctx, d)
		return true
	case errors.Is(err, errDrained), err != nil && res.Error == nil && touched < w.MaxAttempts:
		w.giveBack(ctx, d, err, log)
		return false
	case err != nil && res.Error == nil:
		res.Error = ocelli.Errorf(ocelli.GaveUp, "%s could not be classified in %d attempts (%v): send it again later", task.Name, touched, err)
	}

	saving := time.Now()
	err = w.insist(ctx, "saving the result", log, func() error {
		if err := w.quarantine(ctx, res); err != nil {
			return err
		}
		_, err := w.Results.Save(ctx, res, task.ReplyTo)
		return err
	})
	telemetry.Step(ctx, "save", saving)
	if err != nil {
		if d.Attempt > 1 {
			untry(ctx, w.Blobs, task.Image, touched)
		}
		w.giveBack(ctx, d, err, log)
		return false
	}
	w.ack(ctx, d)
	if d.Attempt > 1 {
		forget(ctx, w.Blobs, task.Image)
	}
	w.pace.took(res.Timings, time.Since(saving))
	logEnd(log, res, time.Since(leased))
	return true
}

// quarantine marks an image that is given up, before its result says so: afterwards a crash could leave it unmarked for good.
func (w *Worker) quarantine(ctx context.Context, r ocelli.Result) error {
	if r.Error == nil || r.Error.Code != ocelli.GaveUp {
		return nil
	}
	_, err := w.Blobs.Create(ctx, ocelli.QuarantineKey(r.Job, r.Image), nil)
	return err
}

func logEnd(log *slog.Logger, res ocelli.Result, took time.Duration) {
	log = log.With("queued_ms", res.Timings.Queued, "fetch_ms", res.Timings.Fetch, "decode_ms", res.Timings.Decode,
		"infer_ms", res.Timings.Infer, "took_ms", ms(took))
	if res.Error != nil {
		log.Info("image failed", "code", res.Error.Code, "error", res.Error.Message)
	} else {
		log.Info("image done", "label", res.Labels[0].Name, "score", res.Labels[0].Score)
	}
}

// recognise fills in res: get, decode, classify. It returns how many times the image has been touched, this time included. An
// [ocelli.Error] is the image's own and permanent. For a suspect the worker's lock is held.
func (w *Worker) recognise(ctx context.Context, d *queue.Delivery, task ocelli.Task, res *ocelli.Result, log *slog.Logger) (touched int, err error) {
	if d.Attempt == 1 {
		w.alone.RLock()
		defer w.alone.RUnlock()
	}
	leave, err := pass(ctx, w.loading)
	if err != nil {
		return 0, err
	}
	defer leave()
	began := time.Now()
	res.Timings.Queued = ms(began.Sub(task.Accepted))
	if overdue(task) {
		if err := w.insist(ctx, "reading the deadline", log, func() error { return w.late(ctx, task) }); err != nil {
			return 0, err
		}
	}
	// Who watches is told only of images that take long enough to be seen.
	defer time.AfterFunc(startedAfter, func() { w.Results.Started(ctx, task.Image, task.ReplyTo) }).Stop()
	var data []byte
	err = w.insist(ctx, "reading the image", log, func() (err error) {
		data, err = w.get(ctx, task)
		return err
	})
	res.Timings.Fetch = ms(time.Since(began))
	telemetry.Step(ctx, "fetch", began)
	if err != nil {
		return 0, err
	}
	if d.Attempt == 1 {
		return 1, w.look(ctx, data, res)
	}
	err = w.insist(ctx, "entering a trial", log, func() (err error) {
		touched, err = w.try(ctx, task.Image, w.MaxAttempts)
		return err
	})
	if err != nil {
		return touched, err
	}
	if touched >= w.MaxAttempts {
		return touched, ocelli.Errorf(ocelli.GaveUp, "%s was given up after %d attempts, in which its worker crashed or fell silent: "+
			"the file may be damaged", task.Name, touched)
	}
	return touched + 1, w.look(ctx, data, res)
}

// startedAfter is how long an image is in hand before that is told.
const startedAfter = 50 * time.Millisecond

// pass waits until there is room in a gate, and enters it until leave is called.
func pass(ctx context.Context, gate chan struct{}) (leave func(), err error) {
	select {
	case gate <- struct{}{}:
		return func() { <-gate }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// look decodes and classifies.
func (w *Worker) look(ctx context.Context, data []byte, res *ocelli.Result) error {
	waited := time.Now()
	leave, err := pass(ctx, w.looking)
	if err != nil {
		return err
	}
	defer leave()
	res.Timings.Queued += ms(time.Since(waited))
	ctx, cancel := context.WithTimeout(ctx, w.ImageTime)
	defer cancel()
	defer w.guard(res.Image)()
	looked := time.Now()
	picture, err := w.Decoder.Decode(ctx, data, w.Classifier.ShortSide())
	res.Timings.Decode = ms(time.Since(looked))
	telemetry.Step(ctx, "decode", looked)
	if e := ocelli.AsError(err); e != nil {
		return ocelli.Errorf(e.Code, "%s %s", res.Name, e.Message)
	}
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	defer picture.Release()
	res.Width, res.Height = picture.FullWidth, picture.FullHeight

	began := time.Now()
	labels, err := w.Classifier.Classify(ctx, picture.Pixels)
	res.Timings.Infer = ms(time.Since(began))
	telemetry.Step(ctx, "infer", began)
	if err != nil {
		return fmt.Errorf("classifying: %w", err)
	}
	model := w.Classifier.Model()
	res.Labels, res.Model = labels[0], &model
	return nil
}

// get reads the bytes of an image. What is longer than intake would have accepted was not put there by intake.
func (w *Worker) get(ctx context.Context, task ocelli.Task) ([]byte, error) {
	r, err := w.Blobs.Open(ctx, ocelli.InputKey(task.Job(), task.Image))
	if errors.Is(err, blob.ErrNotFound) {
		return nil, w.missing(ctx, task)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var data bytes.Buffer
	data.Grow(int(min(max(task.Size, 0), w.MaxBytes)) + bytes.MinRead) // which a buffer wants to have left at the end
	if _, err := data.ReadFrom(io.LimitReader(r, w.MaxBytes+1)); err != nil {
		return nil, fmt.Errorf("reading image %s: %w", task.Image, err)
	}
	if int64(data.Len()) > w.MaxBytes {
		return nil, ocelli.Errorf(ocelli.TooLarge, "%s has more than %d bytes, the limit of this worker", task.Name, w.MaxBytes)
	}
	return data.Bytes(), nil
}

// overdue reports whether the deadline with which an image was sent has passed.
func overdue(task ocelli.Task) bool {
	return !task.Deadline.IsZero() && time.Now().After(task.Deadline)
}

// late returns the fault of an overdue image, and nil where its job has no deadline any more: who puts an image back lifts that, and the
// message may be from before.
func (w *Worker) late(ctx context.Context, task ocelli.Task) error {
	m, err := w.Results.LoadManifest(ctx, task.Job())
	switch {
	case err == nil && m.Deadline.IsZero():
		return nil
	case err != nil && !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, result.ErrDamaged): // there is none while the upload runs
		return err
	}
	return ocelli.Errorf(ocelli.DeadlineExceeded, "%s had no turn before the deadline of its job: send it again with more time", task.Name)
}

// done reports whether an image that comes again, or too late, has its result already: then only the ack was lost, or somebody has ended its
// job, and it is told and not worked on once more. Where the store does not answer, that is found out when the next result is saved.
func (w *Worker) done(ctx context.Context, task ocelli.Task, log *slog.Logger) bool {
	stands, err := w.Results.Load(ctx, task.Job(), task.Image)
	if err != nil {
		return false
	}
	log.Info("the image has its result already")
	w.Results.Tell(ctx, *stands, task.ReplyTo)
	return true
}

// missing says why an image has no bytes. The job was taken back while it was being accepted, or somebody has deleted them since.
func (w *Worker) missing(ctx context.Context, task ocelli.Task) error {
	_, err := w.Results.LoadManifest(ctx, task.Job())
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return errTakenBack
	case err != nil && !errors.Is(err, result.ErrDamaged):
		return err
	}
	return ocelli.Errorf(ocelli.NotFound, "%s was deleted while it waited", task.Name)
}

// insist repeats a call of the store until it succeeds or says something about the image: that a store does not answer, or is full,
// is no fault of the image and no attempt at it. Meanwhile the worker keeps its leases and takes no more. When the
// worker is drained it gives up with errDrained.
func (w *Worker) insist(ctx context.Context, what string, log *slog.Logger, call func() error) error {
	for failures := 1; ; failures++ {
		err := call()
		if err == nil || ocelli.AsError(err) != nil || errors.Is(err, errTakenBack) || ctx.Err() != nil {
			return err
		}
		wait := backoff(failures)
		log.Warn(what+" failed; trying again", "after", wait, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		case <-w.drain:
			return errors.Join(errDrained, err)
		}
	}
}

func (w *Worker) giveBack(ctx context.Context, d *queue.Delivery, why error, log *slog.Logger) {
	delay := backoff(d.Attempt)
	log.Warn("image is given back and tried again", "after", delay, "error", why)
	w.leases.drop(d)
	if err := w.Queue.Nack(ctx, delay, *d); err != nil && ctx.Err() == nil {
		log.Warn("image could not be given back; it comes again when its lease passes", "error", err)
	}
}
