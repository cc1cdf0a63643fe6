// Package openapitest holds handlers to their description: whatever a test asks, the answer must be one that is documented.
package openapitest

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/ocelli/ocelli/internal/openapi"
)

// Handler passes requests on to mux and fails the test where the status or the media type of an answer is not in doc. Addresses that doc
// does not have are left alone.
func Handler(t testing.TB, doc *openapi.Document, mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		mux.ServeHTTP(rec, r)
		method, path, ok := strings.Cut(r.Pattern, " ")
		operation := doc.Paths[path][strings.ToLower(method)]
		if !ok || operation == nil {
			return
		}
		resp := operation.Responses[strconv.Itoa(rec.status)]
		if resp == nil {
			t.Errorf("%s was answered with %d, which is not documented", r.Pattern, rec.status)
			return
		}
		mediaType, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
		if _, ok := resp.Content[mediaType]; !ok && mediaType != "" {
			t.Errorf("%s was answered with %d as %s, which is not documented", r.Pattern, rec.status, mediaType)
		}
	})
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets [http.ResponseController] through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
