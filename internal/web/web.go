// Package web is the face of the service for people: pages that work without JavaScript and do more with it,
// and the answers that the first clients of such services expect from a form.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/openapi"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/scale"
)

// Config is what the pages stand on.
type Config struct {
	Intake  *intake.Intake
	Tracker *result.Tracker
	Blobs   blob.Store
	Status  func(context.Context) ocelli.Status
	History *History
	Log     *slog.Logger

	KeepImages time.Duration // after which the janitor deletes pictures; 0 is together with their job

	// These are nil where the node does not know.
	Decisions func(most int) ([]scale.Decision, error) // the latest, oldest first
	Network   func(ocelli.Model) *Network              // more about a model, or nil
	Guard     *access.Guard                            // nil where nobody has to sign in
	API       *openapi.Document                        // what programs may ask for
	Settings  func() *Settings                         // which may return nil, too
	Checks    func(context.Context) []Check
}

// web serves the pages. Its methods may be called from any number of goroutines.
type web struct {
	Config
	assets *assets
	pages  pages
}

// New returns a handler for every address that no other part of the service takes:
//
//	GET  /                       the page to upload pictures
//	POST /, and any other path   a form with pictures; see [web.submit]
//	GET  /jobs/{id}              the pictures of a job and what they show
//	GET  /jobs/{id}/sorted.zip   the same pictures in a folder for each label
//	GET  /fleet, /model          who works, and with which network
//	GET  /settings, /health      what can be changed while the service runs, and how it does
//	GET  /docs                   the HTTP API, from the description that programs get
//	POST /settings               a form with changes of them
//	GET  /sign-in, POST /sign-in, POST /sign-out   where API keys are needed
//	GET  /assets/…               style sheet, scripts and drawings
//
// Whoever serves the handler must refuse what other sites make a browser send, as [http.CrossOriginProtection] does.
func New(c Config) Site {
	a := loadAssets()
	s := &web{Config: c, assets: a, pages: loadPages(a)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /jobs/{id}", s.job)
	mux.HandleFunc("GET /jobs/{id}/sorted.zip", s.sorted)
	mux.HandleFunc("GET /fleet", s.fleet)
	mux.HandleFunc("GET /model", s.model)
	mux.HandleFunc("GET /settings", s.settings)
	mux.HandleFunc("POST /settings", s.change)
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /docs", s.docs)
	mux.Handle("GET /assets/{version}/{file}", a)
	mux.HandleFunc("GET /favicon.ico", a.favicon)
	mux.HandleFunc("GET /sign-in", s.signInPage)
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.HandleFunc("POST /sign-out", s.signOut)
	mux.HandleFunc("POST /", s.submit)
	mux.HandleFunc("/", s.missing)
	return Site{mux, s}
}

func (s *web) home(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, page{Name: "workbench", Body: workbench{Host: r.Host, KeepImages: s.KeepImages}})
}

// job shows a job as it stands. The page survives reloads and restarts, since the tracker reads what was stored.
func (s *web) job(w http.ResponseWriter, r *http.Request) {
	job, err := s.Tracker.Job(r.Context(), ocelli.JobID(r.PathValue("id")))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.showJob(w, r, job)
}

func (s *web) showJob(w http.ResponseWriter, r *http.Request, job *ocelli.Job) {
	asked, _ := strconv.Atoi(r.URL.Query().Get("part"))
	view := viewJob(job, asked, s.KeepImages)
	p := page{Name: "workbench", Title: view.Headline, Private: true, Body: workbench{Job: view, KeepImages: s.KeepImages}}
	if !job.Finished() {
		p.Refresh = refreshOf(view)
	}
	s.show(w, r, http.StatusOK, p)
}

func (s *web) missing(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, POST")
		s.showError(w, r, http.StatusMethodNotAllowed, "This address shows pages and takes forms: use GET or POST, or the addresses under /v1 for programs.")
		return
	}
	s.showError(w, r, http.StatusNotFound, "There is no page at this address: begin again at the start page.")
}
