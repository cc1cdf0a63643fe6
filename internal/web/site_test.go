package web_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/api"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/web"
)

// site is the whole service in memory, save for the workers.
type site struct {
	handler atomic.Pointer[http.ServeMux]
	queue   *queue.Mem
	blobs   *blob.Mem
	results *result.Store
	status  func() ocelli.Status
	journal []scale.Decision
	network *web.Network
	checks  []web.Check

	settings *web.Settings
	guard    *access.Guard // nil where everybody may come in

	requestBytes, imageBytes int64

	keep, keepImages time.Duration // jobs, and their pictures; restart puts them in force
}

// newSite returns a site that is told of results until the test ends. It refuses jobs while queued images wait.
func newSite(t *testing.T, queued int) *site {
	t.Helper()
	s := &site{queue: queue.NewMem(time.Minute, queued+100), blobs: &blob.Mem{}, requestBytes: 64 << 20, imageBytes: 1 << 20}
	s.results = &result.Store{Blobs: s.blobs, Bus: notify.NewMem()}
	s.status = func() ocelli.Status {
		return ocelli.Status{Workers: []ocelli.Worker{}, Max: 4, Reason: "nothing waits, so no worker is wanted"}
	}
	s.restart(t, queued)
	return s
}

// restart puts a new web node in place of the old one, with the same queue and store behind it.
func (s *site) restart(t *testing.T, queued int) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	tracker := result.NewTracker(s.results, "results.test", log, nil)
	tracker.Keep = s.keep
	in := &intake.Intake{
		Blobs: s.blobs, Queue: s.queue, Results: s.results, Tracker: tracker,
		Limits: intake.Limits{RequestBytes: s.requestBytes, ImageBytes: s.imageBytes, JobImages: 1200, Backlog: int64(queued)},
	}
	background(t, func(ctx context.Context) { _ = tracker.Run(ctx) })
	status := func(context.Context) ocelli.Status { return s.status() }
	mux := http.NewServeMux()
	programs := (&api.API{
		Intake: in, Tracker: tracker, Results: s.results, Blobs: s.blobs, Status: status,
		Ready: func(context.Context) error { return nil }, Log: log, Thumbnail: thumbs.Make,
	}).Register(mux)
	pages := web.New(web.Config{
		Intake: in, Tracker: tracker, Blobs: s.blobs, Status: status, Log: log, History: &web.History{},
		Decisions: func(int) ([]scale.Decision, error) { return s.journal, nil },
		Network:   func(ocelli.Model) *web.Network { return s.network },
		Settings:  func() *web.Settings { return s.settings },
		Checks:    s.checked,
		API:       programs,
		Guard:     s.guard,

		KeepImages: s.keepImages,
	})
	mux.Handle("/", pages)
	if s.guard == nil {
		s.handler.Store(mux)
		return
	}
	s.guard.Refuse = pages.Refuse
	locked := http.NewServeMux()
	locked.Handle("/", s.guard.Handler(mux))
	s.handler.Store(locked)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.Load().ServeHTTP(w, r) }

// stored are the keys of the store that begin with prefix.
func (s *site) stored(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	for info, err := range s.blobs.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// background runs fn until the test ends, and waits for it.
func background(t *testing.T, fn func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { fn(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// work starts a worker that takes what answer says for the result of an image, pace after the image before.
func (s *site) work(t *testing.T, pace time.Duration, answer func(ocelli.Task) ocelli.Result) {
	background(t, func(ctx context.Context) {
		for ctx.Err() == nil {
			ds, err := s.queue.Receive(ctx, 1, queue.MaxWait)
			if err != nil || len(ds) == 0 {
				continue
			}
			task, err := ocelli.DecodeTask(ds[0].Body)
			if err != nil {
				t.Errorf("worker: %v", err)
				return
			}
			s.results.Started(ctx, task.Image, task.ReplyTo)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pace):
			}
			r := answer(task)
			r.Image, r.Job, r.Name = task.Image, task.Job(), task.Name
			if _, err := s.results.Save(ctx, r, task.ReplyTo); err != nil && ctx.Err() == nil {
				t.Errorf("worker: %v", err)
			}
			_ = s.queue.Ack(ctx, ds[0])
		}
	})
}

// sees is the result of an image that shows label.
func sees(label string, score float64) ocelli.Result {
	return ocelli.Result{
		Labels: []ocelli.Label{
			{Name: label, Score: score, Parents: []string{"thing"}},
			{Name: "something else", Score: (1 - score) / 2, Parents: []string{}},
		},
		Model: &ocelli.Model{Name: "test model"},
	}
}

// fails is the result of an image that could not be recognised.
func fails(code ocelli.Code, sentence string) ocelli.Result {
	return ocelli.Result{Labels: []ocelli.Label{}, Error: ocelli.Errorf(code, "%s", sentence)}
}

// file is one file of a form.
type file struct {
	field, name string
	body        []byte
}

// dot is a picture of one colour.
func dot() []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 4, 3))
	for i := range m.Pix {
		m.Pix[i] = 0xff
	}
	m.Set(1, 1, color.Black)
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func formOf(t *testing.T, path string, files ...file) *http.Request {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range files {
		part, err := form.CreateFormFile(f.field, f.name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(f.body)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Accept", "*/*")
	return r
}

func (s *site) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *site) get(path string) *httptest.ResponseRecorder {
	return s.do(httptest.NewRequest("GET", path, nil))
}
