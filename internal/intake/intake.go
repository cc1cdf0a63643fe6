// Package intake accepts images: it gives them ids, looks at their first bytes, keeps them and queues
// them, while the request that carries them is still being read.
package intake

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

// Limits bound what one request may bring.
type Limits struct {
	ImageBytes int64 // one image; more becomes a result with the error [ocelli.TooLarge]
	JobImages  int   // images of one job; more ends the request with [ocelli.TooManyImages]
	Backlog    int64 // images that wait; at this many a new job is refused with [ocelli.Overloaded]
}

// Upload is one file of a request.
type Upload struct {
	Field string    // the name of the form field, "" where there is none
	Name  string    // as the sender named it: hostile
	Body  io.Reader // read before the next upload is asked for
}

// Intake accepts jobs. Its fields are set before first use; its methods may be called from any number of goroutines.
type Intake struct {
	Blobs   blob.Store
	Queue   queue.Queue
	Results *result.Store
	Tracker *result.Tracker
	Limits  Limits
	Store   string // the identity of Blobs
	// Sent, where it is not nil, is told how many images have just been queued.
	Sent func(n int)
}

const (
	sniffBytes   = 512
	smallBytes   = 256 << 10 // images up to this size are kept in the background while the next one is read
	smallAtOnce  = 8         // of them, per request
	sendAtOnce   = 100       // messages per call of the queue
	takeBackTime = 30 * time.Second
)

// NewJob returns a new id.
//
// The id is all that a stranger needs to see a job, so its 80 random bits cannot be guessed.
func NewJob() ocelli.JobID { return ocelli.JobID(ulid.MustNew(ulid.Now(), rand.Reader).String()) }

// Submit accepts uploads as the new job id. When it returns without error every image is kept and queued, or has a
// result that says what is wrong with it: whatever happens now, each ends with exactly one result.
//
// Images are classified from the moment they are queued, while later ones are still read. An [ocelli.Error]
// tells what is wrong with the request as a whole; then, and when ctx or uploads end early, what was
// accepted of the job is taken back, and images of it that wait are dropped.
func (in *Intake) Submit(ctx context.Context, id ocelli.JobID, uploads iter.Seq2[Upload, error]) (ocelli.Manifest, error) {
	if err := in.admit(ctx); err != nil {
		return ocelli.Manifest{}, err
	}
	in.Tracker.Begin(id, time.Now().UTC())
	m, err := in.accept(ctx, id, uploads)
	if err == nil && len(m.Images) == 0 {
		err = ocelli.Errorf(ocelli.NoImages, "the request holds no file: choose at least one image")
	}
	if err == nil {
		err = in.Results.SaveManifest(ctx, m)
	}
	if err != nil {
		in.takeBack(context.WithoutCancel(ctx), id)
		return ocelli.Manifest{}, explain(err)
	}
	return m, nil
}

// admit refuses a job while the backlog is at its limit.
func (in *Intake) admit(ctx context.Context) error {
	stats, err := in.Queue.Stats(ctx)
	if err != nil {
		return explain(err)
	}
	if n := stats.Backlog(); n >= in.Limits.Backlog {
		return ocelli.Errorf(ocelli.Overloaded, "%d images already wait, which is the limit: try again later", n)
	}
	return nil
}

// accept reads the uploads one after another. Small ones are kept side by side, because each waits for the disk; their
// messages go to the queue in whatever groups have come together while the last group was sent.
func (in *Intake) accept(ctx context.Context, id ocelli.JobID, uploads iter.Seq2[Upload, error]) (ocelli.Manifest, error) {
	kept := make(chan ocelli.Task, sendAtOnce)
	sending, sendCtx := errgroup.WithContext(ctx)
	sending.Go(func() error { return in.send(sendCtx, kept) })
	keeping, keepCtx := errgroup.WithContext(sendCtx)
	keeping.SetLimit(smallAtOnce)

	err := in.read(keepCtx, id, uploads, keeping, kept)
	err = errors.Join(err, keeping.Wait())
	close(kept)
	if err = errors.Join(err, sending.Wait()); err != nil {
		return ocelli.Manifest{}, err
	}
	return in.Tracker.Settle(id)
}

func (in *Intake) read(ctx context.Context, id ocelli.JobID, uploads iter.Seq2[Upload, error], keeping *errgroup.Group, kept chan<- ocelli.Task) error {
	place := 0
	for up, err := range uploads {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if place++; place > in.Limits.JobImages {
			return ocelli.Errorf(ocelli.TooManyImages, "the request holds more than %d images: send the rest as another job", in.Limits.JobImages)
		}
		image := ocelli.Image{ID: ocelli.NewImageID(id, place), Name: CleanName(up.Name)}
		if err := in.one(ctx, image, up.Body, keeping, kept); err != nil {
			return err
		}
	}
	return nil
}

// one accepts one image: a bad one gets its result here, and a good one is kept and handed on to be sent.
func (in *Intake) one(ctx context.Context, image ocelli.Image, body io.Reader, keeping *errgroup.Group, kept chan<- ocelli.Task) error {
	src := newSource(body, in.Limits.ImageBytes)
	head, err := src.Peek(sniffBytes)
	if err != nil {
		return err
	}
	image.Type = decode.Sniff(head)
	if fault := ocelli.AsError(decode.Check(head)); fault != nil {
		in.reject(ctx, image, ocelli.Errorf(fault.Code, "%s %s", image.Name, fault.Message), keeping)
		return nil
	}

	small, err := io.ReadAll(io.LimitReader(src, smallBytes+1))
	if err == nil && len(small) <= smallBytes {
		image.Size = int64(len(small))
		in.Tracker.Add(image)
		keeping.Go(func() error {
			if _, err := in.keep(ctx, image.ID, bytes.NewReader(small)); err != nil {
				return err
			}
			return in.handOn(ctx, image, kept)
		})
		return nil
	}
	if err == nil {
		image.Size, err = in.keep(ctx, image.ID, io.MultiReader(bytes.NewReader(small), src))
	}
	if errors.Is(err, errTooLarge) {
		in.reject(ctx, image, ocelli.Errorf(ocelli.TooLarge,
			"%s is larger than %d MB, the limit for one image: make it smaller and send it again", image.Name, in.Limits.ImageBytes>>20), keeping)
		return nil
	}
	if err != nil {
		return err
	}
	in.Tracker.Add(image)
	return in.handOn(ctx, image, kept)
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

// handOn gives a kept image to the sender.
func (in *Intake) handOn(ctx context.Context, image ocelli.Image, kept chan<- ocelli.Task) error {
	task := ocelli.Task{Image: image.ID, Name: image.Name, Accepted: time.Now().UTC(), ReplyTo: in.Tracker.Topic(), Store: in.Store}
	select {
	case kept <- task:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reject gives an image that no worker needs to see its result.
func (in *Intake) reject(ctx context.Context, image ocelli.Image, fault *ocelli.Error, keeping *errgroup.Group) {
	in.Tracker.Add(image)
	job, _, _ := image.ID.Split()
	keeping.Go(func() error {
		_, err := in.Results.Save(ctx, ocelli.Result{
			Image: image.ID, Job: job, Name: image.Name, Labels: []ocelli.Label{}, Error: fault,
		}, in.Tracker.Topic())
		return err
	})
}

// send queues what comes from kept until kept is closed.
func (in *Intake) send(ctx context.Context, kept <-chan ocelli.Task) error {
	for task := range kept {
		group := []ocelli.Task{task}
		for more := true; more && len(group) < sendAtOnce; {
			select {
			case next, open := <-kept:
				if more = open; open {
					group = append(group, next)
				}
			default:
				more = false
			}
		}
		msgs := make([]queue.Message, len(group))
		for i, t := range group {
			msgs[i] = queue.Message{ID: string(t.Image), Group: string(t.Job()), Body: t.Encode()}
		}
		if err := in.Queue.Send(ctx, msgs...); err != nil {
			return fmt.Errorf("queueing %d images: %w", len(msgs), err)
		}
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
	keys := make([]string, 0, 2*len(images))
	for _, image := range images {
		keys = append(keys, ocelli.InputKey(id, image.ID), ocelli.OutputKey(id, image.ID))
	}
	// What this leaves behind costs disk space and harms nobody.
	_ = in.Blobs.Delete(ctx, keys...)
}
