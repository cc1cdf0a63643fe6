package api_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/api"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/retain"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

// A job of which nobody can tell any more whose it was can be deleted by an administrator, and by nobody else.
func TestADamagedJobCanBeDeleted(t *testing.T) {
	s := worktest.Start(t, 1)
	mux := http.NewServeMux()
	(&api.API{
		Intake: s.Intake, Tracker: s.Tracker, Results: s.Results, Blobs: s.Blobs, Log: slog.New(slog.DiscardHandler),
		Jobs: &retain.Jobs{Blobs: s.Blobs, Results: s.Results, Queue: s.Queue},
	}).Register(mux)
	id := intake.NewJob().ID
	if _, err := s.Blobs.Put(t.Context(), ocelli.ManifestKey(id), strings.NewReader("{")); err != nil {
		t.Fatal(err)
	}
	purge := func(ctx context.Context) int {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodDelete, "/v1/jobs/"+string(id)+"?purge=true", nil))
		return answer.Code
	}
	alice := access.With(t.Context(), &access.Caller{Key: &access.Key{Owner: "alice", Scopes: []access.Scope{access.Submit}}})
	if status := purge(alice); status == http.StatusNoContent {
		t.Errorf("anybody deletes it: status %d", status)
	}
	if status := purge(t.Context()); status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
	if _, err := s.Results.LoadManifest(t.Context(), id); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}
