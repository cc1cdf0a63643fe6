// Package intake accepts images: it gives them ids, looks at their first bytes, keeps them and queues
// them, while the request that carries them is still being read.
package intake

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/fetch"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/telemetry"
)

// Limits bound what one request may bring.
type Limits struct {
	RequestBytes int64 // one request, also once its archives are unpacked; more ends it with [ocelli.TooLarge]
	ImageBytes   int64 // one image; more becomes a result with the error [ocelli.TooLarge]
	JobImages    int   // images of one job; more ends the request with [ocelli.TooManyImages]
	Backlog      int64 // images that wait; at this many a new job is refused with [ocelli.Overloaded]
}

// Upload is one file of a request.
type Upload struct {
	Field string    // the name of the form field, "" where there is none
	Name  string    // as the sender named it: hostile
	Body  io.Reader // read before the next upload is asked for; it may end in a [Fault]
	// Fault, where it is not nil, is what is wrong with the file, in a sentence that lacks its subject. Then there is no Body.
	Fault *ocelli.Error
	// Ref stands for the content where that is not part of the request: the URL that it will come from.
	Ref string
}

// Fault is an error of a [Upload]'s Body that concerns this one file and not the request.
type Fault struct {
	Because *ocelli.Error // in a sentence that lacks its subject
}

func (f *Fault) Error() string { return f.Because.Message }

// Announcer tells servers elsewhere of jobs that have ended; see [webhook.Sender].
type Announcer interface {
	Check(url string) error                              // nil where the URL can be told; an [ocelli.Error] otherwise
	Expect(ctx context.Context, m ocelli.Manifest) error // promises, durably, to tell m.Webhook once the job has ended
}

// Intake accepts jobs. Its fields are set before first use; its methods may be called from any number of goroutines. [Intake.Run]
// must be running for deadlines to hold where there are no workers.
type Intake struct {
	Blobs   blob.Store
	Queue   queue.Queue
	Results *result.Store
	Tracker *result.Tracker
	Limits  Limits
	Store   string        // the identity of Blobs
	Getter  *fetch.Getter // for images that are named by URL; nil where none are fetched
	Memory  *Memory       // for lists of URLs; needed where there is a Getter
	Tell    Announcer     // for jobs with a webhook; nil where none are told
	Log     *slog.Logger
	Tracer  *telemetry.Tracer // nil where nothing is traced
	// Alone says that no other process takes images into this store: whatever this one is not reading was cut off by a crash.
	Alone bool
	// Sent, where it is not nil, is told how many images have just been queued.
	Sent func(n int)

	held    atomic.Int64 // bytes of small images in memory
	reading underWay
	backlog backlog
}

const (
	sniffBytes   = 512
	smallBytes   = 256 << 10 // images up to this size are kept in the background while the next one is read
	smallAtOnce  = 24        // of them, per request
	sendAtOnce   = 100       // messages per call of the queue
	takeBackTime = 30 * time.Second
)

// NewJob returns a job without images and with an id of its own.
//
// The id is all that a stranger needs to see a job, so its 80 random bits cannot be guessed.
func NewJob() ocelli.Manifest {
	now := time.Now().UTC()
	return ocelli.Manifest{ID: ocelli.JobID(ulid.MustNew(ulid.Timestamp(now), rand.Reader).String()), Created: now}
}

// Submit accepts uploads as the images of job, which [NewJob] has made, and returns it with them. When it returns without error
// every image is kept and queued, or has a result that says what is wrong with it: whatever happens now, each ends with exactly
// one result.
//
// Images are classified from the moment they are queued, while later ones are still read. An [ocelli.Error]
// tells what is wrong with the request as a whole; then, and when ctx or uploads end early, what was
// accepted of the job is taken back, and images of it that wait are dropped.
func (in *Intake) Submit(ctx context.Context, job ocelli.Manifest, uploads iter.Seq2[Upload, error]) (ocelli.Manifest, error) {
	return in.submit(ctx, job, uploads, func(*ocelli.Manifest) {})
}

// submit is Submit; it calls seal for what is only known when all uploads have been read.
func (in *Intake) submit(ctx context.Context, job ocelli.Manifest, uploads iter.Seq2[Upload, error], seal func(*ocelli.Manifest)) (ocelli.Manifest, error) {
	var waiting [ocelli.Turns]int64
	if job.Owner = access.Owner(ctx); job.Owner != "" {
		waiting = in.Tracker.LeftOf(job.Owner)
		job.Turn = queue.Emptiest(waiting[:])
	}
	if err := in.admit(ctx, job, in.reserve(job.Owner, waiting)); err != nil {
		return ocelli.Manifest{}, err
	}
	ctx, ended := context.WithTimeoutCause(ctx, longestUpload, ocelli.Errorf(ocelli.TooLarge,
		"the upload took longer than %.0f hours, which is the limit: send the images in several requests", longestUpload.Hours()))
	defer ended()
	in.Tracker.Begin(job)
	used := quota{began: time.Now()}
	m, err := in.accept(ctx, job, used.counting(ctx, uploads), &used)
	if err == nil && len(m.Images) == 0 {
		err = ocelli.Errorf(ocelli.NoImages, "the request holds no file: choose at least one image")
	}
	if err == nil {
		seal(&m)
		err = in.record(ctx, m)
	}
	if err != nil {
		in.takeBack(context.WithoutCancel(ctx), job.ID)
		used.giveBack(ctx)
		if late := ocelli.AsError(context.Cause(ctx)); late != nil {
			err = late
		}
		return ocelli.Manifest{}, explain(err)
	}
	return m, nil
}

// record makes a job whose images are kept one that is accepted.
func (in *Intake) record(ctx context.Context, m ocelli.Manifest) error {
	if m.Webhook != "" {
		if err := in.Tell.Expect(ctx, m); err != nil {
			return err
		}
	}
	return in.Results.SaveManifest(ctx, m)
}

// admit refuses a job that asks for what is not offered, and every job while the backlog is at its limit, beyond which there is a reserve.
func (in *Intake) admit(ctx context.Context, job ocelli.Manifest, reserve int64) error {
	if job.Webhook != "" {
		if in.Tell == nil {
			return ocelli.Errorf(ocelli.FetchRefused, "this service tells no webhooks")
		}
		if err := in.Tell.Check(job.Webhook); err != nil {
			return err
		}
	}
	n, err := in.backlog.size(ctx, in.Queue)
	if err != nil {
		return explain(err)
	}
	if n >= in.Limits.Backlog+reserve {
		return ocelli.Errorf(ocelli.Overloaded, "%d images already wait, which is the limit: try again later", n)
	}
	return nil
}

// accepting is one job that is being read.
type accepting struct {
	*Intake
	job     ocelli.Manifest
	keeping *errgroup.Group    // images and results that are being stored
	kept    chan<- ocelli.Task // images that are stored and wait to be sent
}

// accept reads the uploads one after another. Small ones are kept side by side, because each waits for the disk; their
// messages go to the queue in whatever groups have come together while the last group was sent.
func (in *Intake) accept(ctx context.Context, job ocelli.Manifest, uploads iter.Seq2[Upload, error], used *quota) (ocelli.Manifest, error) {
	kept := make(chan ocelli.Task, sendAtOnce)
	sending, sendCtx := errgroup.WithContext(ctx)
	sending.Go(func() error { return in.send(sendCtx, job.Group(), kept, used) })
	keeping, keepCtx := errgroup.WithContext(sendCtx)
	keeping.SetLimit(smallAtOnce)

	a := &accepting{Intake: in, job: job, keeping: keeping, kept: kept}
	err := a.read(keepCtx, uploads)
	err = errors.Join(err, keeping.Wait())
	close(kept)
	if err = errors.Join(err, sending.Wait()); err != nil {
		return ocelli.Manifest{}, err
	}
	return in.Tracker.Settle(job.ID)
}

func (a *accepting) read(ctx context.Context, uploads iter.Seq2[Upload, error]) error {
	place := 0
	for up, err := range uploads {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if place++; place > a.Limits.JobImages {
			return ocelli.Errorf(ocelli.TooManyImages, "the request holds more than %d images: send the rest as another job", a.Limits.JobImages)
		}
		image := ocelli.Image{ID: ocelli.NewImageID(a.job.ID, place), Name: CleanName(up.Name)}
		if up.Fault != nil {
			a.reject(ctx, image, up.Fault)
		} else if err := a.one(ctx, image, up.Body); err != nil {
			return err
		}
	}
	return nil
}

// one accepts one image: a bad one gets its result here, and a good one is kept and handed on to be sent.
func (a *accepting) one(ctx context.Context, image ocelli.Image, body io.Reader) error {
	began := time.Now()
	src := newSource(ctx, body, a.Limits.ImageBytes)
	head, err := src.Peek(sniffBytes)
	if err != nil {
		return a.rejectIf(ctx, image, err)
	}
	image.Type = decode.Sniff(head)
	if fault := ocelli.AsError(decode.Check(head)); fault != nil {
		a.reject(ctx, image, fault)
		return nil
	}

	small, whole, err := a.fill(src)
	if whole {
		image.Size = int64(len(small.data))
		a.Tracker.Add(image)
		a.keeping.Go(func() error {
			defer small.release()
			keeping := time.Now()
			if _, err := a.keep(ctx, image.ID, small.reader()); err != nil {
				return err
			}
			return a.handOn(ctx, image, began, keeping)
		})
		return nil
	}
	defer small.release()
	keeping := time.Now()
	if err == nil {
		image.Size, err = a.keep(ctx, image.ID, io.MultiReader(small.reader(), src))
	}
	if err != nil {
		return a.rejectIf(ctx, image, err)
	}
	a.Tracker.Add(image)
	return a.handOn(ctx, image, began, keeping)
}

// keep stores the bytes of an image, durably.
func (in *Intake) keep(ctx context.Context, image ocelli.ImageID, r io.Reader) (int64, error) {
	job, _, _ := image.Split()
	n, err := in.Blobs.Put(ctx, ocelli.InputKey(job, image), r)
	if err != nil {
		return n, fmt.Errorf("keeping image %s: %w", image, err)
	}
	return n, nil
}

// handOn gives a kept image to the sender. It was read from began on, and kept from keeping on.
func (a *accepting) handOn(ctx context.Context, image ocelli.Image, began, keeping time.Time) error {
	task := ocelli.Task{
		Image: image.ID, Name: image.Name, Size: image.Size, Accepted: time.Now().UTC(), Deadline: a.job.Deadline, ReplyTo: a.Tracker.Topic(), Store: a.Store,
		Trace: a.Tracer.Received(ctx, image, began, keeping),
	}
	select {
	case a.kept <- task:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// rejectIf gives an image its result where err is its own fault. Any other error it returns: that ends the request.
func (a *accepting) rejectIf(ctx context.Context, image ocelli.Image, err error) error {
	var own *Fault
	if !errors.As(err, &own) {
		return err
	}
	a.reject(ctx, image, own.Because)
	return nil
}

// reject gives an image that no worker needs to see its result. The sentence of the fault lacks its subject.
func (a *accepting) reject(ctx context.Context, image ocelli.Image, fault *ocelli.Error) {
	a.Tracker.Add(image)
	a.keeping.Go(func() error {
		_, err := a.Results.Save(ctx, ocelli.Result{
			Image: image.ID, Job: a.job.ID, Name: image.Name, Labels: []ocelli.Label{},
			Error: ocelli.Errorf(fault.Code, "%s %s", image.Name, fault.Message),
		}, a.Tracker.Topic())
		return err
	})
}

// send queues what comes from kept until kept is closed. The images take turns with those of the group.
func (in *Intake) send(ctx context.Context, group string, kept <-chan ocelli.Task, used *quota) error {
	for task := range kept {
		together := []ocelli.Task{task}
		for more := true; more && len(together) < sendAtOnce; {
			select {
			case next, open := <-kept:
				if more = open; open {
					together = append(together, next)
				}
			default:
				more = false
			}
		}
		msgs := make([]queue.Message, len(together))
		for i, t := range together {
			msgs[i] = queue.Message{ID: string(t.Image), Group: group, Body: t.Encode()}
		}
		err := in.Queue.Send(ctx, msgs...)
		if !errors.Is(err, queue.ErrFull) { // with another error the queue may have taken them
			used.queued.Add(int64(len(msgs)))
		}
		if err != nil {
			return fmt.Errorf("queueing %d images: %w", len(msgs), err)
		}
		in.backlog.sent(len(msgs))
		if in.Sent != nil {
			in.Sent(len(msgs))
		}
	}
	return nil
}

// takeBack removes what was kept of a job that is not accepted after all, and the results that it has already. Without its bytes
// an image that waits is dropped by the worker that leases it.
func (in *Intake) takeBack(ctx context.Context, id ocelli.JobID) {
	ctx, cancel := context.WithTimeout(ctx, takeBackTime)
	defer cancel()
	images := in.Tracker.Abandon(id)
	// The manifest, too: it may be there although saving it failed, where the answer of the store was lost.
	keys := make([]string, 0, 1+2*len(images))
	keys = append(keys, ocelli.ManifestKey(id))
	for _, image := range images {
		keys = append(keys, ocelli.InputKey(id, image.ID), ocelli.OutputKey(id, image.ID))
	}
	// What this leaves behind costs disk space and harms nobody.
	_ = in.Blobs.Delete(ctx, keys...)
}
