// Package api is the HTTP JSON interface: it receives images and shows what became of them.
package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/retain"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	LongestWait  = 10 * time.Minute // what ?wait may be
	classifyWait = 2 * time.Minute  // of POST /v1/classify
)

// API answers under /v1. Its fields are set before [API.Register].
type API struct {
	Intake  *intake.Intake
	Tracker *result.Tracker
	Results *result.Store
	Jobs    *retain.Jobs
	Blobs   blob.Store
	Status  func(context.Context) ocelli.Status
	Ready   func(context.Context) error // nil when images can be taken
	// Decisions returns the newest scaling decisions since a time; nil where this node keeps no workers.
	Decisions func(since time.Time, most int) ([]scale.Decision, error)
	// Thumbnail makes a small JPEG of the picture that open opens; nil where there are none. See [thumb.Maker].
	Thumbnail func(ctx context.Context, open func() (io.ReadCloser, error)) ([]byte, error)
	Log       *slog.Logger
}

func (a *API) getStatus(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, a.Status(r.Context()))
}

// postJob accepts any number of images as one job.
func (a *API) postJob(w http.ResponseWriter, r *http.Request) {
	o, err := orderOf(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if o.stream {
		a.postStream(w, r, o)
		return
	}
	id, err := a.Intake.SubmitOnce(r.Context(), o.key, o.job, a.Intake.Uploads(r))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	job, err := a.waitFor(r.Context(), id, o.wait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Location", job.Links.Self)
	if o.wait > 0 && job.Finished() {
		answer(w, http.StatusOK, job)
		return
	}
	answer(w, http.StatusAccepted, job)
}

// waitFor returns the job once it has finished, or as it is after wait.
func (a *API) waitFor(ctx context.Context, id ocelli.JobID, wait time.Duration) (*ocelli.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return a.Tracker.Wait(ctx, id)
}

func (a *API) getJob(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	id := ocelli.JobID(r.PathValue("id"))
	if wantsLines(r) {
		a.getStream(w, r, id, wait)
		return
	}
	job, err := a.waitFor(r.Context(), id, wait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, job)
}

// deleteJob cancels a job: what has no result yet will have none. With ?purge=true it deletes all of the job.
func (a *API) deleteJob(w http.ResponseWriter, r *http.Request) {
	if purge, err := wantsPurge(r); err != nil {
		a.fail(w, r, err)
		return
	} else if purge {
		a.purge(w, r, ocelli.JobID(r.PathValue("id")))
		return
	}
	job, err := a.Intake.Cancel(r.Context(), ocelli.JobID(r.PathValue("id")))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, job)
}

// postClassify answers one image with its labels. The image goes the way of every other: it is kept and queued, so a crash on the
// way costs time, not the image.
func (a *API) postClassify(w http.ResponseWriter, r *http.Request) {
	o, err := orderOf(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	wait := cmp.Or(o.wait, classifyWait)
	id, err := a.Intake.SubmitOnce(r.Context(), o.key, o.job, onlyOne(a.Intake.Uploads(r)))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	for _, res := range a.Tracker.Watch(ctx, id, "") {
		if res.Error != nil {
			a.fail(w, r, res.Error)
			return
		}
		answer(w, http.StatusOK, res)
		return
	}
	why := "all are busy"
	if problem := a.Status(r.Context()).Problem; problem != "" {
		why = problem
	}
	a.fail(w, r, ocelli.Errorf(ocelli.Unavailable, "no worker has classified the image within %s (%s): its result will be at /v1/jobs/%s", wait, why, id))
}

// onlyOne passes on the first upload and fails at a second one.
func onlyOne(uploads iter.Seq2[intake.Upload, error]) iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		n := 0
		for up, err := range uploads {
			if n++; n > 1 && err == nil {
				err = ocelli.Errorf(ocelli.TooManyImages, "this address takes one image: send several to /v1/jobs")
			}
			if !yield(up, err) {
				return
			}
		}
	}
}

func (a *API) getImage(w http.ResponseWriter, r *http.Request) {
	image, err := a.Tracker.Image(r.Context(), ocelli.ImageID(r.PathValue("id")))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, image)
}

// Readiness says whether the queue and the store answer.
func Readiness(checks ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		for _, check := range checks {
			if err := check(ctx); err != nil {
				return errors.Join(ocelli.Errorf(ocelli.Unavailable, "not ready: %v", err), err)
			}
		}
		return nil
	}
}
