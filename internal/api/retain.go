package api

import (
	"errors"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/openapi"
	"github.com/ocelli/ocelli/internal/result"
)

// mostQuarantined bounds one answer.
const mostQuarantined = 1000

// purgeParam turns a cancellation into a deletion.
var purgeParam = openapi.QueryParam("purge", "delete all of the job, for good", &openapi.Schema{Type: "boolean"})

// givenList is the answer of getQuarantine.
type givenList struct {
	Images []ocelli.Given `json:"images"`
}

// afterRoutes are what can be done with images that have ended.
func (a *API) afterRoutes() []openapi.Route {
	accepted := []openapi.Answer{{Status: http.StatusAccepted, Detail: "They wait again; the job as it is now", Type: jsonType, Of: ocelli.Job{}, Headers: locationHeader}}
	fails := []ocelli.Code{ocelli.NotFound, ocelli.Conflict, ocelli.Overloaded, ocelli.StorageFull}
	return []openapi.Route{
		{
			Method: "POST", Path: "/v1/jobs/{id}/retry", Handle: a.retryJob, Tag: tagJobs, Summary: "Try the images of a job that failed once more",
			Detail: "Their results are removed and come anew; a deadline of the job is lifted. Images whose bytes were not kept stay as they are.",
			Params: []openapi.Parameter{jobParam}, Answers: accepted, Fails: fails,
		},
		{
			Method: "POST", Path: "/v1/images/{id}/retry", Handle: a.retryImage, Tag: tagImages, Summary: "Try one image that failed once more",
			Params: []openapi.Parameter{imageParam}, Answers: accepted, Fails: fails,
		},
		{
			Method: "GET", Path: "/v1/quarantine", Handle: a.getQuarantine, Tag: tagImages, Summary: "Images that were given up",
			Detail:  "They took their workers down, or could not be classified in any attempt. Their bytes are kept as long as their jobs.",
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "The list, a thousand at most", Type: jsonType, Of: givenList{}}},
		},
	}
}

// purge deletes all of a job. What waits of it is cancelled first, so that workers do not go on with it.
func (a *API) purge(w http.ResponseWriter, r *http.Request, id ocelli.JobID) {
	job, err := a.Tracker.Job(r.Context(), id)
	switch {
	case errors.Is(err, result.ErrDamaged) && access.MaySee(r.Context(), ""):
		err = nil // nobody can tell what waits of it, or whose it is: for administrators alone
	case err == nil && !job.Finished():
		if _, err = a.Intake.Cancel(r.Context(), id); errors.Is(err, blob.ErrFull) {
			err = nil // workers drop what waits of a job that is gone
		}
	}
	if err == nil {
		err = a.Jobs.Delete(r.Context(), id)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// wantsPurge reports whether ?purge asks for deletion in place of cancellation.
func wantsPurge(r *http.Request) (bool, error) {
	text := r.URL.Query().Get("purge")
	if r.URL.Query().Has("purge") && text != "true" && text != "false" {
		return false, ocelli.Errorf(ocelli.BadRequest, "purge=%.40q is not possible: write purge=true to delete all of the job", text)
	}
	return text == "true", nil
}

// retryJob puts the images of a job that failed back to be tried again.
func (a *API) retryJob(w http.ResponseWriter, r *http.Request) {
	id := ocelli.JobID(r.PathValue("id"))
	if err := a.Tracker.Known(r.Context(), id); err != nil {
		a.fail(w, r, err)
		return
	}
	a.retry(w, r, id)
}

// retryImage puts one image that failed back.
func (a *API) retryImage(w http.ResponseWriter, r *http.Request) {
	image, err := a.Tracker.Image(r.Context(), ocelli.ImageID(r.PathValue("id")))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	job, _, _ := image.ID.Split()
	a.retry(w, r, job, image.ID)
}

func (a *API) retry(w http.ResponseWriter, r *http.Request, id ocelli.JobID, only ...ocelli.ImageID) {
	if _, err := a.Jobs.Retry(r.Context(), id, only...); err != nil {
		a.fail(w, r, err)
		return
	}
	job, err := a.Tracker.Job(r.Context(), id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Location", job.Links.Self)
	answer(w, http.StatusAccepted, job)
}

// getQuarantine lists the images that were given up.
func (a *API) getQuarantine(w http.ResponseWriter, r *http.Request) {
	images, err := a.Jobs.Quarantine(r.Context(), mostQuarantined)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, givenList{images})
}
