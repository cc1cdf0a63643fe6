package bulk

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/archive"
)

// There classifies at a server: it sends images in jobs of many, several at once, and repeats what a server that is full, restarts or is out
// of reach for a while did not take. A repeated job is the same job, so no image is classified twice.
type There struct {
	Client   *client.Client
	Patience time.Duration // how long the server may be out of reach; one that is full, or holds back this key, is waited for without end
	// Waiting, where it is not nil, is told why a request is repeated, and nil when one has succeeded again. Calls may come side by side.
	Waiting func(error)
}

const (
	batchImages = 100
	batchBytes  = 8 << 20 // about, of one batch
	batchWait   = 100 * time.Millisecond
	batches     = 4       // under way at once
	readers     = 8       // images of a batch that are read at once
	usualBytes  = 1 << 20 // of an image whose size is not known before it is read
)

// entry is an item on its way.
type entry struct {
	future
	data []byte
	told bool
}

// tell gives an item its result.
func (e *entry) tell(r ocelli.Result) {
	if !e.told {
		e.told = true
		r.Name = e.item.Name
		e.result <- r
	}
}

func (e *entry) fail(err *ocelli.Error) {
	e.tell(ocelli.Result{Labels: []ocelli.Label{}, Error: err})
}

// Run is an [Engine].
func (t *There) Run(ctx context.Context, find func(context.Context) iter.Seq[Item], done func(Item, ocelli.Result) error) error {
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	found := make(chan Item)
	working.Go(func() {
		defer close(found)
		for item := range find(ctx) {
			select {
			case found <- item:
			case <-ctx.Done():
				return
			}
		}
	})
	futures := make(chan future, batches*batchImages)
	places := make(chan struct{}, batches)
	working.Go(func() {
		defer close(futures)
		for batch := range t.batches(ctx, found, futures) {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			working.Go(func() {
				if err := t.batch(ctx, batch); err != nil {
					cancel(err)
				}
				<-places
			})
		}
	})
	for f := range futures {
		select {
		case res := <-f.result:
			if err := done(f.item, res); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

// batches groups items until there are enough of them or no further one comes at once, and enters each into futures.
func (t *There) batches(ctx context.Context, found <-chan Item, futures chan<- future) iter.Seq[[]*entry] {
	return func(yield func([]*entry) bool) {
		var batch []*entry
		var size int64
		idle := time.NewTimer(batchWait)
		defer idle.Stop()
		for more := true; more; {
			full := false
			select {
			case <-ctx.Done():
				return
			case <-idle.C:
				full = true
			case item, open := <-found:
				if more = open; !open {
					break
				}
				e := &entry{future: future{item, make(chan ocelli.Result, 1)}}
				select {
				case futures <- e.future:
				case <-ctx.Done():
					return
				}
				batch = append(batch, e)
				size += sizeOf(item)
				full = len(batch) == batchImages || size >= batchBytes
				idle.Reset(batchWait)
			}
			if (full || !more) && len(batch) > 0 {
				if !yield(batch) {
					return
				}
				batch, size = nil, 0
			}
		}
	}
}

func sizeOf(item Item) int64 {
	if item.Size > 0 {
		return item.Size
	}
	if item.Path != "" {
		if info, err := os.Stat(item.Path); err == nil {
			return info.Size()
		}
	}
	return usualBytes
}

// batch reads the images, sends them and tells what becomes of each. An error is none of theirs.
func (t *There) batch(ctx context.Context, batch []*entry) error {
	var reading errgroup.Group
	reading.SetLimit(readers)
	for _, e := range batch {
		reading.Go(func() error {
			data, err := read(ctx, e.item)
			if err == nil && archive.Sniff(data) != "" {
				err = ocelli.Errorf(ocelli.UnsupportedType, "is an archive and not an image: unpack it, and name the folder")
			}
			if err != nil {
				e.fail(fault(e.item, err))
			}
			e.data = data
			return nil
		})
	}
	_ = reading.Wait() // what cannot be read has its result
	var sound []*entry
	for _, e := range batch {
		if !e.told {
			sound = append(sound, e)
		}
	}
	if len(sound) == 0 || ctx.Err() != nil {
		return nil
	}
	return t.send(ctx, sound)
}

// send makes one job of the images, or, where something on the way finds that too large, several.
func (t *There) send(ctx context.Context, batch []*entry) error {
	key, conflicts := rand.Text(), 0
	var job *ocelli.Job
	err := t.insist(ctx, func() (err error) {
		if job, err = t.Client.SubmitOnce(ctx, key, filesOf(batch), 0); codeIn(err, ocelli.Conflict) {
			// The first try is still being read, or its server died over it and will never end it.
			if conflicts++; conflicts%5 == 0 {
				key = rand.Text()
			}
		}
		return err
	})
	switch {
	case codeIn(err, ocelli.TooLarge, ocelli.TooManyImages) && len(batch) > 1:
		half := len(batch) / 2
		return errors.Join(t.send(ctx, batch[:half]), t.send(ctx, batch[half:]))
	case codeIn(err, ocelli.TooLarge):
		batch[0].fail(ocelli.AsError(err))
		return nil
	case err != nil:
		return err
	}
	for _, e := range batch {
		e.data = nil // the server has it
	}
	// Results are told by their places, so each image must have been taken for one.
	if job.Total != len(batch) {
		return fmt.Errorf("the server took %d images for %d, so it cannot be told which result is whose: does `ocelli up` of this version run there?", len(batch), job.Total)
	}
	return t.await(ctx, job.ID, batch)
}

// filesOf yields the images of a batch under the names that the server shall log.
func filesOf(batch []*entry) iter.Seq[client.File] {
	return func(yield func(client.File) bool) {
		for _, e := range batch {
			if !yield(client.File{Name: e.item.Name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(e.data)), nil }}) {
				return
			}
		}
	}
}

// await tells the results of a job as they come.
func (t *There) await(ctx context.Context, id ocelli.JobID, batch []*entry) error {
	err := t.insist(ctx, func() error {
		for r, err := range t.Client.Watch(ctx, id) {
			if err != nil {
				return err
			}
			// The server gives back names without folders; the place of an image tells which one it was.
			job, place, ok := r.Image.Split()
			if !ok || job != id || place > len(batch) {
				return ocelli.Errorf(ocelli.BadRequest, "the server answered an image %q that was not sent", r.Image)
			}
			batch[place-1].tell(r)
		}
		return nil
	})
	if err != nil && !codeIn(err, ocelli.NotFound) {
		return err
	}
	for _, e := range batch {
		e.fail(ocelli.Errorf(ocelli.Unavailable, "%s has no result: job %s was deleted at the server", e.item.Name, id))
	}
	return nil
}

// insist repeats a call while its error will pass.
func (t *There) insist(ctx context.Context, call func() error) error {
	var lost time.Time // when the server got out of reach
	for n := 0; ; n++ {
		err := call()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if t.Waiting != nil && (err != nil || n > 0) {
			t.Waiting(err)
		}
		there := codeIn(err, ocelli.Overloaded, ocelli.RateLimited) || errors.Is(err, client.ErrBrokenOff)
		if e := ocelli.AsError(err); err == nil || e != nil && !there && !codeIn(err, ocelli.Unavailable, ocelli.StorageFull, ocelli.Conflict) {
			return err
		}
		switch {
		case there:
			lost = time.Time{}
		case lost.IsZero():
			lost = time.Now()
		}
		if !there && time.Since(lost) >= t.Patience {
			return fmt.Errorf("%w (tried for %s)", err, t.Patience)
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(client.RetryAfter(err), min(500*time.Millisecond<<min(n, 10), 15*time.Second))):
		}
	}
}

func codeIn(err error, codes ...ocelli.Code) bool {
	e := ocelli.AsError(err)
	for _, code := range codes {
		if e != nil && e.Code == code {
			return true
		}
	}
	return false
}
