// Package api is the HTTP JSON interface: it receives images and shows what became of them.
package api

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	longestWait  = 10 * time.Minute // of ?wait
	classifyWait = 2 * time.Minute  // of POST /v1/classify
)

// API answers under /v1. Its fields are set before [API.Register].
type API struct {
	Intake  *intake.Intake
	Tracker *result.Tracker
	Results *result.Store
	Blobs   blob.Store
	Status  func(context.Context) ocelli.Status
	Ready   func(context.Context) error // nil when images can be taken
	// Decisions returns the newest scaling decisions since a time; nil where this node keeps no workers.
	Decisions    func(since time.Time, most int) ([]scale.Decision, error)
	RequestBytes int64 // of one request
	Log          *slog.Logger
}

// Register adds the API's addresses to mux.
func (a *API) Register(mux *http.ServeMux) {
	routes := []struct {
		method, path string
		handle       http.HandlerFunc
	}{
		{"POST", "/v1/jobs", a.postJob},
		{"GET", "/v1/jobs", a.getJobs},
		{"GET", "/v1/jobs/{id}", a.getJob},
		{"DELETE", "/v1/jobs/{id}", a.deleteJob},
		{"GET", "/v1/jobs/{id}/events", a.getEvents},
		{"GET", "/v1/jobs/{id}/results.csv", a.getCSV},
		{"POST", "/v1/classify", a.postClassify},
		{"GET", "/v1/images/{id}", a.getImage},
		{"GET", "/v1/images/{id}/content", a.getContent},
		{"GET", "/v1/scaling/decisions", a.getDecisions},
		{"GET", "/v1/status", a.getStatus},
	}
	allowed := map[string][]string{}
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.path, r.handle)
		allowed[r.path] = append(allowed[r.path], r.method)
	}
	for path, methods := range allowed {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			a.fail(w, r, ocelli.Errorf(ocelli.WrongMethod, "%s takes %s, and not %s", r.URL.Path, strings.Join(methods, " or "), r.Method))
		})
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := a.Ready(r.Context()); err != nil {
			a.fail(w, r, err)
			return
		}
		answer(w, http.StatusOK, map[string]string{"status": "ready"})
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, ocelli.Errorf(ocelli.NotFound, "there is nothing at %s %.100s", r.Method, r.URL.Path))
	})
}

func (a *API) getStatus(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, a.Status(r.Context()))
}

// postJob accepts any number of images as one job.
func (a *API) postJob(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r, 0)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	id, err := a.submit(r, a.uploads(w, r))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	job, err := a.waitFor(r.Context(), id, wait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Location", job.Links.Self)
	if wait > 0 && job.Finished() {
		answer(w, http.StatusOK, job)
		return
	}
	answer(w, http.StatusAccepted, job)
}

// submit accepts the uploads as a new job. A request that repeats the Idempotency-Key of an earlier one gets that one's job.
func (a *API) submit(r *http.Request, uploads iter.Seq2[intake.Upload, error]) (ocelli.JobID, error) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		id := intake.NewJob()
		_, err := a.Intake.Submit(r.Context(), id, uploads)
		return id, err
	}
	id, first, err := a.Intake.Claim(r.Context(), key)
	if err != nil || !first {
		return id, err
	}
	if _, err := a.Intake.Submit(r.Context(), id, uploads); err != nil {
		a.Intake.Unclaim(r.Context(), key, id)
		return "", err
	}
	return id, nil
}

func (a *API) uploads(w http.ResponseWriter, r *http.Request) iter.Seq2[intake.Upload, error] {
	r.Body = http.MaxBytesReader(w, r.Body, a.RequestBytes)
	return intake.Uploads(r)
}

// waitOf returns the duration that the request asks to wait for results.
func waitOf(r *http.Request, otherwise time.Duration) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return otherwise, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > longestWait {
		return 0, ocelli.Errorf(ocelli.BadRequest, "wait=%.40q is not a duration from 0s to %s: write it like wait=60s", text, longestWait)
	}
	return wait, nil
}

// waitFor returns the job once it has finished, or as it is after wait.
func (a *API) waitFor(ctx context.Context, id ocelli.JobID, wait time.Duration) (*ocelli.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return a.Tracker.Wait(ctx, id)
}

func (a *API) getJob(w http.ResponseWriter, r *http.Request) {
	wait, err := waitOf(r, 0)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	job, err := a.waitFor(r.Context(), ocelli.JobID(r.PathValue("id")), wait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, job)
}

// deleteJob cancels a job: what has no result yet will have none.
func (a *API) deleteJob(w http.ResponseWriter, r *http.Request) {
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
	wait, err := waitOf(r, classifyWait)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	id, err := a.submit(r, onlyOne(a.uploads(w, r)))
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
