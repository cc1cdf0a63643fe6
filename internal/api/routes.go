package api

import (
	"net/http"
	"slices"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/openapi"
)

// The groups of operations, as the description shows them.
const (
	tagRecognise = "Recognise"
	tagJobs      = "Jobs"
	tagImages    = "Images"
	tagService   = "Service"
)

// uploadFails are the errors that a request with images can meet as a whole.
var uploadFails = []ocelli.Code{
	ocelli.BadRequest, ocelli.NoImages, ocelli.TooManyImages, ocelli.TooLarge, ocelli.Conflict, ocelli.KeyReused, ocelli.Overloaded,
	ocelli.QuotaUsed, ocelli.StorageFull, ocelli.FetchRefused,
}

// imageFails are the errors of one image.
var imageFails = []ocelli.Code{
	ocelli.EmptyFile, ocelli.UnsupportedType, ocelli.TooManyPixels, ocelli.CorruptImage, ocelli.GaveUp, ocelli.Cancelled, ocelli.DeadlineExceeded,
	ocelli.CorruptArchive, ocelli.Encrypted, ocelli.FetchFailed,
}

// Routes returns the addresses of the API: their handlers and their description.
func (a *API) Routes() []openapi.Route {
	return slices.Concat(a.imageRoutes(), a.jobRoutes(), a.afterRoutes(), a.serviceRoutes())
}

func (a *API) imageRoutes() []openapi.Route {
	return []openapi.Route{
		{
			Method: "POST", Path: "/v1/classify", Handle: a.postClassify, Tag: tagRecognise, Summary: "The labels of one image",
			Detail: "Sends one image, as the body or as the one file of a form, and answers with its labels as soon as they are known. " +
				"The image is kept and queued like every other, so a crash on the way costs time and not the image.",
			Params:  []openapi.Parameter{waitParam, deadlineParam, nameParam, keyParam},
			Takes:   imageBodies(formOfOne),
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "The image was recognised", Type: jsonType, Of: ocelli.Result{}}},
			Fails:   slices.Concat(uploadFails, imageFails),
		},
		{
			Method: "GET", Path: "/v1/images/{id}", Handle: a.getImage, Tag: tagImages, Summary: "What became of one image",
			Params:  []openapi.Parameter{imageParam},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "Its state, and its labels or error once there are any", Type: jsonType, Of: ocelli.ImageStatus{}}},
			Fails:   []ocelli.Code{ocelli.NotFound},
		},
		{
			Method: "GET", Path: "/v1/images/{id}/content", Handle: a.getContent, Tag: tagImages, Summary: "The bytes of one image, as they were sent",
			Params:  []openapi.Parameter{imageParam},
			Answers: contentAnswers(),
			Fails:   []ocelli.Code{ocelli.NotFound},
		},
		{
			Method: "GET", Path: "/v1/images/{id}/thumbnail", Handle: a.getThumbnail, Tag: tagImages, Summary: "A small copy of one image",
			Detail:  "Upright, with a short side of 324 pixels or less. It is made when it is asked for, and not kept.",
			Params:  []openapi.Parameter{imageParam},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "The copy", Type: "image/jpeg", Schema: file()}},
			Fails:   []ocelli.Code{ocelli.NotFound, ocelli.CorruptImage},
		},
	}
}

func (a *API) jobRoutes() []openapi.Route {
	job := []openapi.Parameter{jobParam}
	missing := []ocelli.Code{ocelli.NotFound}
	return []openapi.Route{
		{
			Method: "POST", Path: "/v1/jobs", Handle: a.postJob, Tag: tagRecognise, Summary: "Any number of images as one job",
			Detail: "A multipart form, whose files may stand under any field names, a zip or tar archive, a list of addresses to fetch, or one image as the body. Images are recognised while later ones " +
				"are still being sent. A bad image is a result with an error of its own and never a failed request. With " +
				"`Accept: application/x-ndjson` each result comes on the same answer as soon as it is there: lines of JSON, of which the first and the " +
				"last are the job without its images, those between are results, and a problem ends a stream whose upload went wrong.",
			Params: []openapi.Parameter{waitParam, deadlineParam, webhookParam, nameParam, keyParam},
			Takes:  imageBodies(formOfMany),
			Answers: []openapi.Answer{
				{Status: http.StatusAccepted, Detail: "All images are kept and queued", Type: jsonType, Of: ocelli.Job{}, Headers: locationHeader},
				{Status: http.StatusOK, Detail: "All images have their results: only with wait, or as lines", Type: jsonType, Of: ocelli.Job{}, Headers: locationHeader},
				{Status: http.StatusOK, Type: linesType, Schema: &openapi.Schema{Type: "string"}},
			},
			Fails: uploadFails,
		},
		{
			Method: "GET", Path: "/v1/uploads/{key}", Handle: a.getUpload, Tag: tagJobs, Summary: "The job of a request that is still being sent",
			Detail: "Whoever sends a job with an Idempotency-Key that cannot be guessed learns its id here, as soon as the request has begun, and " +
				"can follow its events while it is being sent.",
			Params:  []openapi.Parameter{openapi.PathParam("key", "the Idempotency-Key of the request", &openapi.Schema{Type: "string", MaxLength: 255})},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "Where the job is", Type: jsonType, Of: uploadBegun{}}},
			Fails:   missing,
		},
		{
			Method: "GET", Path: "/v1/jobs", Handle: a.getJobs, Tag: tagJobs, Summary: "The jobs that were accepted last, newest first",
			Detail: "The id of a job is all that it takes to see it. So without API keys the list is for callers on the service's own machine, " +
				"and with them each caller's is its own.",
			Params:  []openapi.Parameter{limitParam(MostRecentJobs, recentJobs)},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "The list", Type: jsonType, Of: jobList{}}},
			Fails:   []ocelli.Code{ocelli.BadRequest},
		},
		{
			Method: "GET", Path: "/v1/jobs/{id}", Handle: a.getJob, Tag: tagJobs, Summary: "A job and its images, in the order of upload",
			Params: []openapi.Parameter{jobParam, waitParam},
			Answers: []openapi.Answer{
				{Status: http.StatusOK, Detail: "The job as it is, once it has finished or the wait is over; or its results as lines, as `POST /v1/jobs` gives them", Type: jsonType, Of: ocelli.Job{}},
				{Status: http.StatusOK, Type: linesType, Schema: &openapi.Schema{Type: "string"}},
			},
			Fails: []ocelli.Code{ocelli.NotFound, ocelli.BadRequest},
		},
		{
			Method: "DELETE", Path: "/v1/jobs/{id}", Handle: a.deleteJob, Tag: tagJobs, Summary: "Cancel a job, or delete all of it",
			Detail: "Images that have no result yet will have none but the error `cancelled`. Results that are there stay. With purge=true all of the job is " +
				"deleted for good: images, results and what else is kept of it.",
			Params: append(job, purgeParam),
			Answers: []openapi.Answer{
				{Status: http.StatusOK, Detail: "The job as it is now", Type: jsonType, Of: ocelli.Job{}},
				{Status: http.StatusNoContent, Detail: "With purge=true: the job is no more"},
			},
			Fails: []ocelli.Code{ocelli.NotFound, ocelli.BadRequest, ocelli.Conflict, ocelli.StorageFull},
		},
		{
			Method: "GET", Path: "/v1/jobs/{id}/events", Handle: a.getEvents, Tag: tagJobs, Summary: "The results of a job as they come",
			Detail: "Server-sent events: `started` with the id of an image that a worker has had in hand for a while, `result` with a result, and `done` with the job without its images. A client that comes back with " +
				"Last-Event-ID gets what came since.",
			Params:  append(job, openapi.HeaderParam("Last-Event-ID", "the id of the last event that was seen", &openapi.Schema{Type: "string"})),
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "The stream", Type: "text/event-stream", Of: event{}}},
			Fails:   missing,
		},
		{
			Method: "GET", Path: "/v1/jobs/{id}/results.csv", Handle: a.getCSV, Tag: tagJobs, Summary: "The results of a job as a table",
			Params:  job,
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "One line for each image: its best label, or its error", Type: "text/csv", Schema: &openapi.Schema{Type: "string"}}},
			Fails:   missing,
		},
	}
}

// event is a server-sent event.
type event struct {
	ID    string `json:"id,omitempty"` // of a result, for Last-Event-ID
	Event string `json:"event"`        // "result" or "done"
	Data  string `json:"data"`         // the result, or the job without its images, as JSON
}

// jobList is the answer of getJobs.
type jobList struct {
	Jobs []ocelli.JobSummary `json:"jobs"`
}

// health is the answer of a service that is well.
type health struct {
	Status string `json:"status"`
}

func (a *API) serviceRoutes() []openapi.Route {
	return []openapi.Route{
		{
			Method: "GET", Path: "/v1/status", Handle: a.getStatus, Tag: tagService, Summary: "Backlog, rate, workers and model",
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "What goes on", Type: jsonType, Of: ocelli.Status{}}},
		},
		{
			Method: "GET", Path: "/v1/scaling/decisions", Handle: a.getDecisions, Tag: tagService, Summary: "Why there were as many workers as there were",
			Detail:  "The decisions of late, oldest first: each with what was seen, its reason, and what one worker more or fewer would have meant.",
			Params:  []openapi.Parameter{sinceParam, limitParam(decisionsMost, decisionsMost)},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "The decisions; none where workers are kept elsewhere", Type: jsonType, Of: decisionList{}}},
			Fails:   []ocelli.Code{ocelli.BadRequest},
		},
		{
			Method: "GET", Path: "/healthz", Tag: tagService, Summary: "Whether the process is alive", Handle: func(w http.ResponseWriter, _ *http.Request) {
				answer(w, http.StatusOK, health{"ok"})
			},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "It is", Type: jsonType, Of: health{}}},
		},
		{
			Method: "GET", Path: "/readyz", Tag: tagService, Summary: "Whether images can be taken", Handle: func(w http.ResponseWriter, r *http.Request) {
				if err := a.Ready(r.Context()); err != nil {
					a.fail(w, r, err)
					return
				}
				answer(w, http.StatusOK, health{"ready"})
			},
			Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "Queue and store answer", Type: jsonType, Of: health{}}},
		},
	}
}
