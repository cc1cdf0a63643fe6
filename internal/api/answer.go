package api

import (
	"encoding/json"
	"net/http"

	"github.com/ocelli/ocelli"
)

// Problem is the body of every error: "application/problem+json" of RFC 9457, with the code of the [ocelli.Error].
type Problem struct {
	Title  string      `json:"title"`  // the status in words
	Status int         `json:"status"` // the HTTP status
	Detail string      `json:"detail"` // one clear sentence
	Code   ocelli.Code `json:"code"`
}

// retryAfter is how many seconds a client that was refused for overload should wait.
const retryAfter = "5"

// fail answers with a [Problem]. What is not an [ocelli.Error] is the service's own fault: it is logged, and its text is not shown.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := ocelli.AsError(err)
	if e == nil {
		if r.Context().Err() != nil {
			return // the client has gone
		}
		a.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		e = ocelli.Errorf(ocelli.Unavailable, "the service could not do this just now: try again, and look into its log if that does not help")
	}
	status := e.Code.HTTPStatus()
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, status, Problem{Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code})
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
