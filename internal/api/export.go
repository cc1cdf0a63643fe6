package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/decode"
)

// heartbeat is how often an idle event stream says that it lives, so that proxies keep it open.
const heartbeat = 15 * time.Second

// begun is the event of an image that a worker has in hand.
type begun struct {
	Image ocelli.ImageID `json:"image"`
}

// uploadBegun is the answer of getUpload.
type uploadBegun struct {
	ID     ocelli.JobID `json:"id"`
	Events string       `json:"events"` // the address of its events
}

// getUpload answers with the job that a request becomes which is still being read.
func (a *API) getUpload(w http.ResponseWriter, r *http.Request) {
	id, err := a.Intake.Upload(r.Context(), r.PathValue("key"))
	if err == nil {
		err = a.Tracker.Known(r.Context(), id)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, uploadBegun{id, "/v1/jobs/" + string(id) + "/events"})
}

// getEvents streams the results of a job as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html):
// "started" with a [begun], for some images, when a worker has one in hand; "result" with an [ocelli.Result]; then
// "done" with the [ocelli.Job] without its images. A client that comes back with
// Last-Event-ID gets what came since, or, where the server does not know that event any more, everything again.
func (a *API) getEvents(w http.ResponseWriter, r *http.Request) {
	id := ocelli.JobID(r.PathValue("id"))
	if err := a.Tracker.Known(r.Context(), id); err != nil {
		a.fail(w, r, err)
		return
	}
	events := newStream(w, "text/event-stream")
	if events.write([]byte(": the results of "+id+"\n\n")) != nil || r.Method == http.MethodHead {
		return
	}
	stop := events.keepAlive(heartbeat)
	defer stop()
	for e := range a.Tracker.Follow(r.Context(), id, r.Header.Get("Last-Event-ID")) {
		var err error
		if e.Result != nil {
			err = events.event("result", e.Mark, e.Result)
		} else {
			err = events.event("started", "", begun{Image: e.Image})
		}
		if err != nil {
			return
		}
	}
	if job, err := a.Tracker.Job(r.Context(), id); err == nil && job.Finished() {
		job.Images = []ocelli.ImageStatus{}
		_ = events.event("done", "", job) // the client has gone, or it has all
	}
}

// getCSV streams the results that are there as CSV (RFC 4180), in the order of upload.
func (a *API) getCSV(w http.ResponseWriter, r *http.Request) {
	job, err := a.Tracker.Job(r.Context(), ocelli.JobID(r.PathValue("id")))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s.csv"`, job.ID))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	table := csv.NewWriter(w)
	defer table.Flush()
	_ = table.Write([]string{"image", "name", "state", "label", "label_id", "score", "error"})
	for _, image := range job.Images {
		row := []string{string(image.ID), ocelli.Cell(image.Name), string(image.State), "", "", "", ""}
		if image.Result != nil && len(image.Result.Labels) > 0 {
			best := image.Result.Labels[0]
			row[3], row[4], row[5] = best.Name, best.ID, strconv.FormatFloat(best.Score, 'f', 4, 64)
		}
		if image.Error != nil {
			row[6] = ocelli.Cell(image.Error.Message)
		}
		if table.Write(row) != nil {
			return
		}
	}
}

// getContent answers the bytes of an image as they were uploaded. They are untrusted: the type is read from
// them again, and a browser is told neither to guess another nor to run anything.
func (a *API) getContent(w http.ResponseWriter, r *http.Request) {
	image, err := a.Tracker.Image(r.Context(), ocelli.ImageID(r.PathValue("id")))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	body, err := a.original(r.Context(), image)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer body.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(body, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		a.fail(w, r, err)
		return
	}
	head = head[:n]
	mediaType := decode.Sniff(head)
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	harmless(w.Header(), mediaType)
	if _, err := w.Write(head); err == nil {
		_, _ = io.Copy(w, body) // the client has gone, or the store failed in mid-answer: nothing can be said any more
	}
}

// original opens the bytes of an image.
func (a *API) original(ctx context.Context, image *ocelli.ImageStatus) (io.ReadCloser, error) {
	job, _, _ := image.ID.Split()
	body, err := a.Blobs.Open(ctx, ocelli.InputKey(job, image.ID))
	if errors.Is(err, blob.ErrNotFound) {
		return nil, ocelli.Errorf(ocelli.NotFound, "the bytes of %s were not kept", image.Name)
	}
	return body, err
}

// harmless heads an answer that is a stranger's picture: a browser must take it for nothing else, and may keep it for a day.
func harmless(h http.Header, mediaType string) {
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, max-age=86400, immutable")
}

// getThumbnail answers a small copy of an image.
func (a *API) getThumbnail(w http.ResponseWriter, r *http.Request) {
	image, err := a.Tracker.Image(r.Context(), ocelli.ImageID(r.PathValue("id")))
	if err == nil && a.Thumbnail == nil {
		err = ocelli.Errorf(ocelli.NotFound, "small copies are not made here: ask for the content of %s", image.Name)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	body, err := a.Thumbnail(r.Context(), func() (io.ReadCloser, error) { return a.original(r.Context(), image) })
	if e := ocelli.AsError(err); e != nil && e.Code == ocelli.CorruptImage {
		err = ocelli.Errorf(e.Code, "%s %s", image.Name, e.Message)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	harmless(w.Header(), "image/jpeg")
	_, _ = w.Write(body) // the only error is that the client has gone
}

// encode is one value on one line, as an event's data must be.
func encode(v any) []byte {
	line, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	return line
}
