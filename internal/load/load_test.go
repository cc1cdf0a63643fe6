package load_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/load"
)

// service answers as Ocelli does, in the process and in virtual time; break makes something wrong of an answer.
type service struct {
	takes  func() time.Duration
	breaks func(n int, r *ocelli.Result)

	mu   sync.Mutex
	n    int
	jobs int
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	if s.takes != nil {
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(s.takes()):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs++
	id := ocelli.JobID(fmt.Sprintf("01JD%022d", s.jobs))
	switch r.URL.Path {
	case "/v1/status":
		_ = json.NewEncoder(w).Encode(ocelli.Status{Version: "test", Ready: 7, Workers: make([]ocelli.Worker, 3), Model: &ocelli.Model{Name: "m"}})
	case "/v1/classify":
		res := s.look(id, 1, r.URL.Query().Get("name"), body)
		if res.Error != nil {
			w.WriteHeader(res.Error.Code.HTTPStatus())
			_ = json.NewEncoder(w).Encode(map[string]any{"detail": res.Error.Message, "code": res.Error.Code})
			break
		}
		_ = json.NewEncoder(w).Encode(res)
	case "/v1/jobs":
		_ = json.NewEncoder(w).Encode(s.job(id, r.Header.Get("Content-Type"), body))
	}
	return w.Result(), nil
}

func (s *service) job(id ocelli.JobID, contentType string, body []byte) ocelli.Job {
	_, params, _ := mime.ParseMediaType(contentType)
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	job := ocelli.Job{ID: id, State: ocelli.JobDone}
	for {
		part, err := parts.NextPart()
		if err != nil {
			return job
		}
		data, _ := io.ReadAll(part)
		res := s.look(id, len(job.Images)+1, part.FileName(), data)
		status := ocelli.ImageStatus{ID: ocelli.NewImageID(id, len(job.Images)+1), Name: res.Name, State: ocelli.ImageDone, Result: res}
		job.Done++
		if res.Error != nil {
			status.Result, status.Error, status.State = nil, res.Error, ocelli.ImageFailed
			job.Done, job.Failed = job.Done-1, job.Failed+1
		}
		job.Images, job.Total = append(job.Images, status), job.Total+1
	}
}

func (s *service) look(id ocelli.JobID, place int, name string, data []byte) *ocelli.Result {
	s.n++
	r := &ocelli.Result{Image: ocelli.NewImageID(id, place), Job: id, Name: name, Attempt: 1}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		r.Error = ocelli.Errorf(ocelli.UnsupportedType, "%s is no image", name)
	} else {
		r.Width, r.Height = cfg.Width, cfg.Height
		r.Labels = []ocelli.Label{{Name: fmt.Sprint("label ", cfg.Width), Score: 0.9}}
	}
	if s.breaks != nil {
		s.breaks(s.n, r)
	}
	return r
}

var pool = sync.OnceValue(func() []*load.Picture {
	pictures, err := load.Generate(context.Background(), 5, 20, 10, 1)
	if err != nil {
		panic(err)
	}
	return pictures
})

// run puts s under a load in virtual time.
func run(t *testing.T, s *service, l *load.Load) *load.Report {
	t.Helper()
	c, err := client.New("http://service.example", client.WithTransport(s))
	if err != nil {
		t.Fatal(err)
	}
	l.Client = c
	if l.Pool == nil {
		l.Pool = pool()
	}
	if l.Mix == nil {
		l.Mix = mix(t, "single")
	}
	l.Connections, l.InFlight, l.Timeout = max(1, l.Connections), cmp.Or(l.InFlight, 1000), time.Minute
	return l.Run(t.Context())
}

func mix(t *testing.T, text string) load.Mix {
	t.Helper()
	m, err := load.ParseMix(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryAnswerIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: func() time.Duration { return 10 * time.Millisecond }}
		r := run(t, s, &load.Load{Connections: 4, Requests: 300, Mix: mix(t, "single:8,job10:1,job100:1")})
		if r.Requests != 300 || r.Right != int64(s.n) || r.Images != int64(s.n) || !r.Good() || len(r.Problems) > 0 {
			t.Errorf("%d images came, and the report says %+v", s.n, r)
		}
		if r.Workers != 3 || r.Backlog != 7 || r.Model.Name != "m" {
			t.Errorf("the state of the service was missed: %+v", r)
		}
		if len(r.Latency) != 4 || r.Latency[3].Kind != "all" || r.Latency[3].Count != 300 || r.Latency[3].P50 < 9.9 || r.Latency[3].Max > 10.1 {
			t.Errorf("the latencies are %+v, want 10 ms", r.Latency)
		}
	})
}

func TestEachKindOfWrongAnswerIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(r *ocelli.Result)
		want   string
	}{
		"another's name":    {func(r *ocelli.Result) { r.Name = "other.jpg" }, "came back as"},
		"another's pixels":  {func(r *ocelli.Result) { r.Width++ }, "pixels and was answered as"},
		"other labels":      {func(r *ocelli.Result) { r.Labels[0] = ocelli.Label{Name: "cat", Score: 0.5} }, "the same picture before"},
		"no labels":         {func(r *ocelli.Result) { r.Labels = nil }, "has no labels"},
		"an error":          {func(r *ocelli.Result) { r.Error = ocelli.Errorf(ocelli.CorruptImage, "is damaged") }, "is damaged"},
		"the echo is wrong": {func(r *ocelli.Result) { r.Model, r.Labels[0].Name = &ocelli.Model{Name: "echo"}, "pink" }, "was answered as pink"},
	} {
		for _, kind := range []string{"single", "job10"} {
			t.Run(name+" of "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &service{breaks: func(n int, r *ocelli.Result) {
						if n == 100 {
							c.breaks(r)
						}
					}}
					r := run(t, s, &load.Load{Requests: 200, Mix: mix(t, kind)})
					if r.Good() || r.Wrong+r.Failed != 1 || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], c.want) {
						t.Errorf("got %+v, want one problem like %q", r, c.want)
					}
				})
			})
		}
	}
}

func TestAJobInWhichOneImageAnswersForAnotherIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{breaks: func(n int, r *ocelli.Result) {
			if n == 25 { // image 5 of the third job answers for image 4
				r.Image = ocelli.NewImageID(r.Job, 4)
			}
		}}
		if r := run(t, s, &load.Load{Requests: 5, Mix: mix(t, "job10")}); r.Wrong != 1 || r.Right != 49 {
			t.Errorf("got %+v", r)
		}
	})
}

// A stall of ten seconds meets every request that was due meanwhile, and not only the one that was under way.
func TestAnOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &service{takes: func() time.Duration {
			if stall := 20*time.Second - time.Since(began); stall < 10*time.Second && stall > 0 {
				return stall // nothing is answered from the tenth second to the twentieth
			}
			return time.Millisecond
		}}
		r := run(t, s, &load.Load{Rate: &load.Rate{From: 100, To: 100, Even: true}, Length: 40 * time.Second})
		if l := r.Latency[0]; l.Count < 3990 || l.P50 > 2 || l.P90 < 5500 || l.P90 > 6500 || l.Max < 9900 {
			t.Errorf("a quarter of the requests met the stall, evenly from 10 s to 0: %+v", l)
		}
		if r.Lag.Max > 1 {
			t.Errorf("the generator itself was late: %+v", r.Lag)
		}
	})
}

// With few places the generator waits, and the wait counts.
func TestWaitingForAPlaceCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: func() time.Duration { return time.Second }}
		c, _ := client.New("http://service.example", client.WithTransport(s))
		l := &load.Load{Client: c, Pool: pool(), Mix: mix(t, "single"), Rate: &load.Rate{From: 2, To: 2, Even: true}, InFlight: 1, Requests: 20, Timeout: time.Minute}
		if r := l.Run(t.Context()); r.Latency[0].Max < 10_000 || r.Lag.Max < 9_000 {
			t.Errorf("one place serves 1/s of 2/s, so the last of 20 waits 10 s: %+v, %+v", r.Latency, r.Lag)
		}
	})
}

// What was due and never began is told.
func TestRequestsThatFindNoPlaceAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &service{takes: func() time.Duration { return max(time.Millisecond, 20*time.Second-time.Since(began)) }} // nothing is answered for 20 s
		r := run(t, s, &load.Load{Rate: &load.Rate{From: 10, To: 10, Even: true}, Length: 10 * time.Second, InFlight: 5})
		if r.Missed < 90 || r.Missed+r.Requests < 99 || r.Missed+r.Requests > 101 || r.Lag.Max < 9_000 {
			t.Errorf("of 100 requests %d ended and %d did not begin; lag %+v", r.Requests, r.Missed, r.Lag)
		}
		text := new(strings.Builder)
		if err := r.Print(text); err != nil || !strings.Contains(text.String(), "did not begin") {
			t.Errorf("%v\n%s", err, text)
		}
	})
}

func TestWarmingUpIsCheckedAndNotTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &service{takes: func() time.Duration {
			if time.Since(began) < time.Second {
				return 500 * time.Millisecond
			}
			return time.Millisecond
		}}
		r := run(t, s, &load.Load{Warmup: 3 * time.Second, Length: 2 * time.Second})
		if r.Latency[0].Max > 2 || r.Latency[0].Count < 1000 || r.Requests <= r.Latency[0].Count {
			t.Errorf("got %d requests, %+v", r.Requests, r.Latency)
		}
	})
}

func TestRefusedAndFailedRequestsAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{breaks: func(n int, r *ocelli.Result) {
			switch n % 10 {
			case 1:
				r.Error = ocelli.Errorf(ocelli.Overloaded, "full")
			case 2:
				r.Error = ocelli.Errorf(ocelli.Unavailable, "broken")
			}
		}}
		r := run(t, s, &load.Load{Requests: 100})
		if r.Refused != 10 || r.Failed != 10 || r.Right != 80 || r.Wrong != 0 || r.Good() {
			t.Errorf("got %+v", r)
		}
	})
}

func TestARunThatIsStoppedCountsNothingThatItBrokeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		c, _ := client.New("http://service.example", client.WithTransport(&service{takes: func() time.Duration { return time.Second }}))
		l := &load.Load{Client: c, Pool: pool(), Mix: mix(t, "single"), Connections: 3, Requests: 100, Timeout: time.Minute}
		if r := l.Run(ctx); !r.Stopped || r.Requests != 6 || r.Failed != 0 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestFilesOfAFolderAreSentAndBadOnesMustFail(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"a.jpg": pool()[0].Data, "b.JPG": pool()[1].Data, "notes.txt": []byte("no image")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pictures, err := load.ReadFolder(t.Context(), dir)
	if err != nil || len(pictures) != 3 {
		t.Fatalf("read %d, %v", len(pictures), err)
	}
	synctest.Test(t, func(t *testing.T) {
		if r := run(t, new(service), &load.Load{Pool: pictures, Requests: 60, Mix: mix(t, "single,job10")}); !r.Good() || r.Right < 100 {
			t.Errorf("got %+v", r)
		}
	})
	if _, err := load.ReadFolder(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty folder gave pictures")
	}
}
