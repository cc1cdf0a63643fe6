// Package ingest classifies what anybody puts into a bucket: S3 tells a queue of each new object
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html), and each becomes a job of one image.
//
// The message of an object is held until its result is there and delivered, so nothing has to be remembered elsewhere: when
// this process dies the message comes back, and the object has the same job as before. An object that is told of twice is
// classified once; one that is replaced is another.
package ingest

import (
	"bytes"
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
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

const (
	// atOnce is how many messages are held at a time. Their images wait in the queue of the workers, which need work ahead of them.
	atOnce = 500

	// fetchAtOnce is how many objects are copied at a time.
	fetchAtOnce = 16

	// Lease is what the queue of events is to be opened with. A lease is renewed while the image waits for its result.
	Lease = 30 * time.Second

	// again is after how long a message is tried again when something could not be reached.
	again = 20 * time.Second

	// maxKey is the longest key of S3, in bytes.
	maxKey = 1024

	sniffBytes = 512
)

// Source is the bucket; see [s3blob.Bucket]. Keys are below Prefix.
type Source interface {
	Open(ctx context.Context, key, etag string) (io.ReadCloser, error)
}

// Ingest takes images from a bucket. Its fields are set before Run.
type Ingest struct {
	Events  queue.Queue // what S3 tells
	Bucket  string
	Prefix  string // of all keys that are looked at: empty, or ending in a slash
	Objects Source
	// Deliver puts the result of an object where its owner wants it; nil leaves it in the store.
	Deliver func(ctx context.Context, key string, r ocelli.Result) error
	// Results is what the keys of delivered results begin with, where they are in the same bucket: what lies there is no image.
	Results string

	Blobs      blob.Store
	Queue      queue.Queue
	Saved      *result.Store
	Tracker    *result.Tracker
	Store      string // the identity of Blobs
	ImageBytes int64  // the most bytes of one image
	// Sent, where it is not nil, is told how many images have just been queued.
	Sent func(n int)
	Log  *slog.Logger

	mu       sync.Mutex
	held     []queue.Delivery
	fetching chan struct{}
}

// Run takes images until ctx ends. Whatever cannot be reached is tried again.
func (in *Ingest) Run(ctx context.Context) error {
	in.fetching = make(chan struct{}, fetchAtOnce)
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { in.hold(ctx) })
	free := make(chan struct{}, atOnce)
	told := ""
	for ctx.Err() == nil {
		ds, err := in.Events.Receive(ctx, queue.MaxReceive, queue.MaxWait)
		if err != nil && ctx.Err() == nil {
			if told != err.Error() {
				told = err.Error()
				in.Log.Warn("the events of the bucket cannot be read; trying again", "bucket", in.Bucket, "error", err)
			}
			pause(ctx, time.Second)
			continue
		}
		told = ""
		in.add(ds)
		for _, d := range ds {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return nil // the leases pass
			}
			all.Go(func() {
				defer func() { <-free }()
				in.handle(ctx, d)
			})
		}
	}
	return nil
}

// hold renews the leases of all messages in hand.
func (in *Ingest) hold(ctx context.Context) {
	for pause(ctx, Lease/3) {
		in.mu.Lock()
		held := slices.Clone(in.held)
		in.mu.Unlock()
		if err := in.Events.Extend(ctx, held...); err != nil && ctx.Err() == nil {
			in.Log.Debug("some events will be told again", "error", err)
		}
	}
}

func (in *Ingest) add(ds []queue.Delivery) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.held = append(in.held, ds...)
}

func (in *Ingest) drop(d queue.Delivery) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.held = slices.DeleteFunc(in.held, func(other queue.Delivery) bool { return other.Receipt == d.Receipt })
}

// handle does what a message asks for, and settles it.
func (in *Ingest) handle(ctx context.Context, d queue.Delivery) {
	defer in.drop(d)
	objects, err := in.parse(d.Body)
	if err != nil { // it would be no better another time
		in.Log.Warn("a message in the queue of events, or a part of it, was passed over", "bucket", in.Bucket, "message", d.ID, "error", err)
	}
	var failed error
	for _, o := range objects { // one that cannot be taken just now keeps no other waiting
		if err := in.object(ctx, o); err != nil {
			failed = err
		}
		if ctx.Err() != nil {
			failed = ctx.Err()
			break
		}
	}
	settling := context.WithoutCancel(ctx)
	if failed != nil {
		if ctx.Err() == nil {
			in.Log.Warn("an object could not be taken; trying again", "bucket", in.Bucket, "error", failed, "within", again)
		}
		err = in.Events.Nack(settling, again, d)
	} else {
		err = in.Events.Ack(settling, d)
	}
	if err != nil {
		in.Log.Debug("an event will be told again", "error", err)
	}
}

// object sees one object through: it is accepted once, and its result delivered.
func (in *Ingest) object(ctx context.Context, o object) error {
	_, err := in.Saved.LoadManifest(ctx, o.id)
	if errors.Is(err, blob.ErrNotFound) {
		err = in.accept(ctx, o)
	}
	if errors.Is(err, blob.ErrNotFound) {
		in.Log.Info("an object was gone before its turn", "bucket", in.Bucket, "key", o.key)
		return nil
	}
	if err != nil || in.Deliver == nil {
		return err
	}
	job, err := in.Tracker.Wait(ctx, o.id)
	if err != nil {
		return err
	}
	if !job.Finished() {
		return cmp.Or(ctx.Err(), errors.New("its job is not known just now"))
	}
	if job.State != ocelli.JobDone {
		return nil // somebody has cancelled it
	}
	r, err := in.Saved.Load(ctx, o.id, ocelli.NewImageID(o.id, 1))
	if err != nil {
		return err
	}
	if err := in.Deliver(ctx, o.key, *r); err != nil {
		return fmt.Errorf("delivering the result of %q: %w", o.key, err)
	}
	return nil
}

// accept makes a job of the object. The manifest comes last: where there is one, all else has happened.
func (in *Ingest) accept(ctx context.Context, o object) error {
	select {
	case in.fetching <- struct{}{}:
		defer func() { <-in.fetching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	image := ocelli.Image{ID: ocelli.NewImageID(o.id, 1), Name: intake.CleanName(o.key)}
	fault, err := in.keep(ctx, o, &image)
	if err != nil {
		return err
	}
	if fault != nil {
		_, err = in.Saved.Save(ctx, ocelli.Result{
			Image: image.ID, Job: o.id, Name: image.Name, Labels: []ocelli.Label{},
			Error: ocelli.Errorf(fault.Code, "%s %s", image.Name, fault.Message),
		}, "")
	} else {
		task := ocelli.Task{Image: image.ID, Name: image.Name, Size: image.Size, Accepted: time.Now().UTC(), ReplyTo: in.Tracker.Topic(), Store: in.Store}
		err = in.Queue.Send(ctx, queue.Message{ID: string(image.ID), Group: in.Bucket, Body: task.Encode()})
	}
	if err != nil {
		return fmt.Errorf("accepting %q: %w", o.key, err)
	}
	if err := in.Saved.SaveManifest(ctx, ocelli.Manifest{ID: o.id, Created: o.created, Images: []ocelli.Image{image}}); err != nil {
		return err
	}
	if fault == nil && in.Sent != nil {
		in.Sent(1)
	}
	return nil
}

// keep copies the object into the store, unless its size or its first bytes show that it is no image: then it returns the fault, in
// a sentence that lacks its subject.
func (in *Ingest) keep(ctx context.Context, o object, image *ocelli.Image) (fault *ocelli.Error, err error) {
	tooLarge := ocelli.Errorf(ocelli.TooLarge, "is larger than %d MB, the limit for one image", in.ImageBytes>>20)
	if o.size > in.ImageBytes {
		image.Size = o.size
		return tooLarge, nil
	}
	body, err := in.Objects.Open(ctx, o.key, o.etag)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	head, err := io.ReadAll(io.LimitReader(body, sniffBytes))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", o.key, err)
	}
	image.Type = decode.Sniff(head)
	if fault := ocelli.AsError(decode.Check(head)); fault != nil {
		image.Size = o.size
		return fault, nil
	}
	// The size in the event may be a lie. One byte more than allowed shows it.
	limited := io.LimitReader(io.MultiReader(bytes.NewReader(head), body), in.ImageBytes+1)
	image.Size, err = in.Blobs.Put(ctx, ocelli.InputKey(o.id, image.ID), limited)
	if err != nil {
		return nil, fmt.Errorf("keeping %q: %w", o.key, err)
	}
	if image.Size > in.ImageBytes {
		return tooLarge, in.Blobs.Delete(ctx, ocelli.InputKey(o.id, image.ID))
	}
	return nil, nil
}

// pause waits, and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
