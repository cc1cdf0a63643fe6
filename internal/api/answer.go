package api

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
)

// Problem is the body of every error: "application/problem+json" of RFC 9457, with the code of the [ocelli.Error].
type Problem struct {
	Title  string      `json:"title"`  // the status in words
	Status int         `json:"status"` // the HTTP status
	Detail string      `json:"detail"` // one clear sentence
	Code   ocelli.Code `json:"code"`
}

// retryAfter is how many seconds a client that was refused should wait: until a hundredth of the full backlog is done, as far as
// that can be told, and 5 s otherwise.
func (a *API) retryAfter(code ocelli.Code, err error) string {
	wait, limited := access.Wait(err, time.Now())
	if !limited {
		wait = 5 * time.Second
	}
	if f := a.Tracker.Forecaster; f != nil && code == ocelli.Overloaded {
		if eta, _, known := f.Forecast(max(1, a.Intake.Limits.Backlog/100)); known {
			wait = min(max(eta, time.Second), time.Hour)
		}
	}
	return strconv.Itoa(int(math.Ceil(wait.Seconds())))
}

// problem tells err to the client, and is nil where there is nothing to tell. What is not an [ocelli.Error] is the service's own fault: it
// is logged, and its text is not shown.
func (a *API) problem(r *http.Request, err error) *Problem {
	if err == nil {
		return nil
	}
	e := ocelli.AsError(err)
	if e == nil && errors.Is(err, blob.ErrFull) {
		e = ocelli.Errorf(ocelli.StorageFull, "the storage is full: delete jobs that are not needed any more (purge=true), or free some space on its disk, and try again")
	}
	if e == nil {
		if r.Context().Err() != nil {
			return nil // the client has gone
		}
		a.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		e = ocelli.Errorf(ocelli.Unavailable, "the service could not do this just now: try again, and look into its log if that does not help")
	}
	status := e.Code.HTTPStatus()
	return &Problem{Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code}
}

// fail answers with a [Problem].
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(r, err)
	if p == nil {
		return
	}
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", a.retryAfter(p.Code, err))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, p.Status, p)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, status, v)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The only error left is that the client has gone.
	_ = json.NewEncoder(w).Encode(v)
}
