package api

import (
	"context"
	"iter"
	"net/http"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
)

// postStream accepts a job and answers with lines of JSON while the upload goes on: the [ocelli.Job] as soon as its first image
// is accepted, each [ocelli.Result] as it comes, and the job again when all of it is done, both times without its images. Where the
// upload goes wrong after the first line, the last line is the [Problem].
//
// Reading and writing do not wait for each other, so a client that sends all before it listens gets everything in the end.
func (a *API) postStream(w http.ResponseWriter, r *http.Request, o order) {
	out := newStream(w, linesType)
	watching, enough := context.WithCancel(r.Context())
	uploading, uploaded := context.WithCancel(r.Context())
	begun := make(chan struct{})
	early := false // the first line was written while the upload went on
	var writing sync.WaitGroup
	// Also when reading what strangers sent ends in a panic, which the server survives.
	defer writing.Wait()
	defer enough()
	defer uploaded()

	// Otherwise the server would read the whole request before it lets the first byte of an answer go.
	if out.control.EnableFullDuplex() == nil {
		writing.Go(func() {
			select {
			case <-uploading.Done():
				return
			case <-begun:
			}
			// A repeat of an earlier request becomes no job of its own: which it is shows at its end.
			if early = a.Tracker.Known(r.Context(), o.job.ID) == nil; early {
				a.writeResults(watching, out, o.job.ID)
			}
		})
	}
	id, err := a.Intake.SubmitOnce(r.Context(), o.key, o.job, tellFirst(a.Intake.Uploads(r), begun))
	uploaded()
	if o.wait > 0 {
		defer time.AfterFunc(o.wait, enough).Stop()
	}
	writing.Wait()
	if !early {
		if err != nil {
			a.fail(w, r, err)
			return
		}
		a.writeResults(watching, out, id)
	}
	a.writeEnd(out, r, id, err)
}

// getStream answers with the same lines for a job that has been accepted.
func (a *API) getStream(w http.ResponseWriter, r *http.Request, id ocelli.JobID, wait time.Duration) {
	if err := a.Tracker.Known(r.Context(), id); err != nil {
		a.fail(w, r, err)
		return
	}
	ctx := r.Context()
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	out := newStream(w, linesType)
	a.writeResults(ctx, out, id)
	a.writeEnd(out, r, id, nil)
}

// writeResults writes the first line, and the results until the job has finished, ctx ends or the client is gone.
func (a *API) writeResults(ctx context.Context, out *stream, id ocelli.JobID) {
	if a.writeJob(ctx, out, id) != nil {
		return
	}
	for _, res := range a.Tracker.Watch(ctx, id, "") {
		if out.line(res) != nil {
			return
		}
	}
}

// writeEnd writes the last line.
func (a *API) writeEnd(out *stream, r *http.Request, id ocelli.JobID, err error) {
	if err == nil {
		err = a.writeJob(context.WithoutCancel(r.Context()), out, id)
	}
	if p := a.problem(r, err); p != nil {
		_ = out.line(p) // the client has gone, or it knows
	}
}

func (a *API) writeJob(ctx context.Context, out *stream, id ocelli.JobID) error {
	job, err := a.Tracker.Job(ctx, id)
	if err != nil {
		return err
	}
	job.Images = []ocelli.ImageStatus{}
	_ = out.line(job) // where the client has gone the next line fails too
	return nil
}

// tellFirst passes uploads on and closes begun when the first of them has been accepted.
func tellFirst(uploads iter.Seq2[intake.Upload, error], begun chan<- struct{}) iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		first := true
		for up, err := range uploads {
			if !yield(up, err) {
				return
			}
			if first && err == nil {
				close(begun)
				first = false
			}
		}
	}
}
