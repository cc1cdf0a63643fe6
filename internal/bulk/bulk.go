// Package bulk classifies any number of images for somebody at a command line: it finds them, classifies them here or at a server, and keeps
// what comes of it, so that a run over a million files can be broken off and gone on with. Nothing in it grows with their number but the
// sixteen bytes by which each image is known that an earlier run had done, or that was found before a folder is watched.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync/atomic"
	"time"

	"github.com/ocelli/ocelli"
)

// Item is one image to classify.
type Item struct {
	Name string // what results call it: a path, a URL
	Path string // of the file on this machine; "" where it is none
	Size int64  // bytes, where that is known before it is read; 0 where it is not
	// Maybe says that nobody has named it and that it may be no image at all: then it is passed over.
	Maybe bool
	// Open returns its bytes; the caller closes them. It may be called more than once.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Items yields images as they are found. An error tells of something that was asked for and is not there; what comes after it is none the worse.
type Items = iter.Seq2[Item, error]

// Source yields items until ctx ends, also where it waits for some.
type Source func(ctx context.Context) Items

// Engine classifies the items that find yields and calls done with each result, in the order of the items and from one goroutine. It ends
// early with the error of done, or where it cannot classify at all; what is wrong with one image is its result. Then it ends the context
// that it gave to find, which may be waiting for an item that never comes.
type Engine func(ctx context.Context, find func(context.Context) iter.Seq[Item], done func(Item, ocelli.Result) error) error

// Output keeps results.
type Output interface {
	// Put keeps one. An [ocelli.Error] says why this one could not be kept, and the run goes on; any other error ends it.
	Put(ctx context.Context, item Item, r ocelli.Result) error
	// Close ends the output; what was put is durable then as far as the output promises that.
	Close() error
}

// Counts tell how a run goes. They may be read at any time.
type Counts struct {
	Found   atomic.Int64 // images, as far as is known; files in folders are counted before it is known whether they are images
	Counted atomic.Bool  // whether Found holds all
	Skipped atomic.Int64 // images that an earlier run has done
	Done    atomic.Int64 // results of this run
	Failed  atomic.Int64 // of them, and of those of earlier runs
}

// Run is one run. Its fields are set before [Run.Do].
type Run struct {
	Items Source
	Skip  func(Item) bool // whether an earlier run has done one of Items; nil for none
	// Coming are images that come while the run goes on, as from [Finder.Watch], and are classified after Items; nil for none. One that was
	// found among Items just as it is now is passed over.
	Coming Source
	Engine Engine
	// Outputs are asked in this order: what the last one kept without passing trouble is done with. What one could not keep the later ones
	// keep as failed, so that it is tried again when the run is gone on with.
	Outputs []Output
	Counts  *Counts
	Problem func(error) // told what is missing, and what could not be kept
}

// graceTime is how long images in hand have to be finished when a run is broken off.
const graceTime = 10 * time.Second

// ErrStopped is the error of a run that was broken off: what was in hand has been finished and kept.
var ErrStopped = errors.New("stopped before the end")

// ErrMissing is the error of a run in which something that was asked for is not there.
var ErrMissing = errors.New("some of what was asked for is not there")

// Do classifies all items. When ctx ends, no further one is begun, and those in hand are finished.
func (r *Run) Do(ctx context.Context) error {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(graceTime, cancel) })()

	missing := false
	find := func(working context.Context) iter.Seq[Item] {
		return func(yield func(Item) bool) {
			finding, enough := context.WithCancel(ctx)
			defer enough()
			defer context.AfterFunc(working, enough)()
			r.fresh(finding, &missing)(yield)
		}
	}
	err := r.Engine(working, find, func(item Item, res ocelli.Result) error { return r.keep(working, item, res) })
	for _, out := range r.Outputs {
		err = errors.Join(err, out.Close())
	}
	switch {
	case err != nil && !errors.Is(err, context.Canceled):
		return err
	case ctx.Err() != nil:
		return ErrStopped
	case missing:
		return ErrMissing
	}
	return err
}

// fresh yields the items that no earlier run has done, then those that come, until ctx ends.
func (r *Run) fresh(ctx context.Context, missing *bool) iter.Seq[Item] {
	var found Done
	done := func(item Item) bool {
		if r.Skip != nil && r.Skip(item) {
			r.Counts.Skipped.Add(1)
			return true
		}
		if r.Coming != nil {
			found.Add(asItIs(item), "")
		}
		return false
	}
	foundBefore := func(item Item) bool {
		if !found.has(asItIs(item)) {
			return false
		}
		r.Counts.Found.Add(-1)
		return true
	}
	return func(yield func(Item) bool) {
		if r.pass(ctx, r.Items(ctx), done, missing, yield) && r.Coming != nil {
			r.pass(ctx, r.Coming(ctx), foundBefore, missing, yield)
		}
	}
}

// pass yields the items that are not known, and reports whether more are wanted.
func (r *Run) pass(ctx context.Context, items Items, known func(Item) bool, missing *bool, yield func(Item) bool) bool {
	for item, err := range items {
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil:
			*missing = true
			r.Problem(err)
		case !known(item) && !yield(item):
			return false
		}
	}
	return true
}

// asItIs names a file in its present state: with other bytes under its name it is something else.
func asItIs(item Item) string {
	info, err := os.Stat(item.Path)
	if err != nil {
		return item.Name
	}
	return fmt.Sprintf("%s\x00%d\x00%d", item.Name, info.Size(), info.ModTime().UnixNano())
}

func (r *Run) keep(ctx context.Context, item Item, res ocelli.Result) error {
	if res.Error == errPassedOver {
		r.Counts.Found.Add(-1)
		return nil
	}
	failed := res.Error != nil
	for _, out := range r.Outputs {
		err := out.Put(ctx, item, res)
		if e := ocelli.AsError(err); e != nil {
			failed = true
			r.Problem(e)
			if res.Error == nil {
				res.Labels, res.Error = []ocelli.Label{}, ocelli.Errorf(ocelli.Unavailable, "%s", e.Message)
			}
		} else if err != nil {
			return err
		}
	}
	if failed {
		r.Counts.Failed.Add(1)
	}
	r.Counts.Done.Add(1)
	return nil
}
