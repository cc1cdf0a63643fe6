package bulk_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/bulk"
)

// server is a service in this process and in virtual time, with the faults that networks and servers have.
type server struct {
	fault func(call int, r *http.Request) fault
	takes time.Duration // what it is asked beside images

	mu      sync.Mutex
	calls   int
	jobs    map[ocelli.JobID][]ocelli.Result
	keys    map[string]ocelli.JobID
	seen    map[string]int // images by name
	largest int
	most    int // requests at once
	now     int
}

func isPost(r *http.Request) bool { return r.Method == http.MethodPost }

type fault int

const (
	fine     fault = iota
	refused        // failed and did not happen
	lost           // failed, but happened
	full           // answered with 429
	too            // too large for something in between
	half           // the events break off in the middle
	forgot         // the job is not known any more
	mistaken       // an answer for an image that was not sent
	more           // a job of more images than were sent
	denied
	often // the key makes too many requests
)

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
	}
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	if !isPost(r) {
		time.Sleep(s.takes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	s.calls++
	w := httptest.NewRecorder()
	f := fine
	if s.fault != nil {
		f = s.fault(s.calls, r)
	}
	switch f {
	case refused:
		return nil, errors.New("connection refused")
	case full:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.WriteString(`{"detail":"the queue is full","code":"overloaded"}`)
		return w.Result(), nil
	case often:
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.WriteString(`{"detail":"the key makes too many requests","code":"rate_limited"}`)
		return w.Result(), nil
	case too:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = w.WriteString("<html>nginx</html>")
		return w.Result(), nil
	case denied:
		w.WriteHeader(http.StatusUnauthorized)
		return w.Result(), nil
	}
	if r.Method == http.MethodPost {
		id := s.submit(r, body)
		job := ocelli.Job{ID: id, Total: len(s.jobs[id])}
		if f == more {
			job.Total++
		}
		_ = json.NewEncoder(w).Encode(job)
	} else {
		s.events(w, ocelli.JobID(strings.Split(r.URL.Path, "/")[3]), f)
	}
	if f == lost {
		return nil, errors.New("connection reset")
	}
	return w.Result(), nil
}

func (s *server) submit(r *http.Request, body []byte) ocelli.JobID {
	if s.jobs == nil {
		s.jobs, s.keys, s.seen = map[ocelli.JobID][]ocelli.Result{}, map[string]ocelli.JobID{}, map[string]int{}
	}
	key := r.Header.Get("Idempotency-Key")
	if id := s.keys[key]; id != "" && key != "" {
		return id
	}
	id := ocelli.JobID(fmt.Sprintf("01JD%022d", len(s.jobs)+1))
	_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := parts.NextPart()
		if err != nil {
			break
		}
		data, _ := io.ReadAll(part)
		if part.FileName() == "" {
			continue // it is a field, and no file
		}
		res := ocelli.Result{Image: ocelli.NewImageID(id, len(s.jobs[id])+1), Job: id, Name: part.FileName(), Labels: []ocelli.Label{{Name: "blue"}}}
		if bytes.Equal(data, red) {
			res.Labels[0].Name = "red"
		}
		if bytes.HasPrefix(data, zipped) {
			s.jobs[id] = append(s.jobs[id], res) // an archive stands for what is in it, here for two
			res.Image = ocelli.NewImageID(id, len(s.jobs[id])+1)
		}
		s.jobs[id] = append(s.jobs[id], res)
		s.seen[part.FileName()]++
	}
	s.largest = max(s.largest, len(s.jobs[id]))
	s.keys[key] = id
	return id
}

func (s *server) events(w *httptest.ResponseRecorder, id ocelli.JobID, f fault) {
	if f == forgot {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.WriteString(`{"detail":"there is no job","code":"not_found"}`)
		return
	}
	results := s.jobs[id]
	for i := range results {
		r := results[len(results)-1-i] // as they come, and not in order
		if f == mistaken {
			r.Image = "01JD9999999999999999999999-0001"
		}
		if f == half && i >= len(results)/2 {
			return
		}
		line, _ := json.Marshal(r)
		fmt.Fprintf(w, "event: result\ndata: %s\n\n", line)
	}
	fmt.Fprint(w, "event: done\ndata: {}\n\n")
}

// zipped is how an archive begins.
var zipped = []byte("PK\x03\x04")

// sent are n images: even ones are red, odd ones blue.
func sent(n int) bulk.Items {
	return func(yield func(bulk.Item, error) bool) {
		for i := range n {
			data := red
			if i%2 == 1 {
				data = blue
			}
			name := fmt.Sprintf("folder/%05d.png", i)
			if !yield(newFinder().Input(name, bytes.NewReader(data)), nil) {
				return
			}
		}
	}
}

// there classifies n images at the server, and returns the run's error and what came of it.
func there(t *testing.T, s *server, n int) (*lines, error) {
	t.Helper()
	return thereAll(t, s, from(sent(n)))
}

func thereAll(t *testing.T, s *server, items bulk.Source) (*lines, error) {
	t.Helper()
	c, err := client.New("http://server.example", client.WithTransport(s))
	if err != nil {
		t.Fatal(err)
	}
	out := new(lines)
	engine := &bulk.There{Client: c, Patience: time.Minute, Waiting: func(error) {}}
	run := &bulk.Run{Items: items, Engine: engine.Run, Outputs: []bulk.Output{out}, Counts: new(bulk.Counts), Problem: func(err error) { t.Error(err) }}
	return out, run.Do(t.Context())
}

func TestImagesAreClassifiedAtAServerWhateverHappensOnTheWay(t *testing.T) {
	const n = 1234
	var want strings.Builder
	for i := range n {
		fmt.Fprintf(&want, "folder/%05d.png %s\n", i, []string{"red", "blue"}[i%2])
	}
	for name, faults := range map[string]func(call int, r *http.Request) fault{
		"nothing":          nil,
		"it is refused":    func(call int, r *http.Request) fault { return map[bool]fault{true: refused}[call%3 == 0] },
		"answers are lost": func(call int, r *http.Request) fault { return map[bool]fault{true: lost}[call%3 == 0] },
		"it is full":       func(call int, r *http.Request) fault { return map[bool]fault{true: full}[isPost(r) && call < 300] },
		"it holds back":    func(call int, r *http.Request) fault { return map[bool]fault{true: often}[call%5 < 4] },
		"events break off": func(call int, r *http.Request) fault { return map[bool]fault{true: half}[!isPost(r) && call%2 == 0] },
		"a proxy is narrow": func(call int, r *http.Request) fault {
			return map[bool]fault{true: too}[isPost(r) && r.ContentLength < 0 && call%4 == 0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{fault: faults}
				out, err := there(t, s, n)
				if err != nil || out.text.String() != want.String() {
					t.Errorf("%v: %d of %d came, of %d calls", err, out.n, n, s.calls)
				}
				for image, times := range s.seen {
					if times != 1 {
						t.Fatalf("%s was classified %d times", image, times)
					}
				}
				if s.largest > 100 || s.most > 4 {
					t.Errorf("a batch had %d images, and %d requests were made at once", s.largest, s.most)
				}
			})
		})
	}
}

func TestWhenAServerIsOfNoUse(t *testing.T) {
	always := func(f fault, get bool) func(int, *http.Request) fault {
		return func(_ int, r *http.Request) fault {
			if get == (r.Method == http.MethodGet) {
				return f
			}
			return fine
		}
	}
	for name, c := range map[string]struct {
		fault func(int, *http.Request) fault
		want  string
	}{
		"it is gone":         {always(refused, false), "does not answer"},
		"it is gone later":   {always(refused, true), "does not answer"},
		"the key is wrong":   {always(denied, false), "401 Unauthorized"},
		"it takes too many":  {always(more, false), "which result is whose"},
		"it mixes images up": {always(mistaken, true), "that was not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if out, err := there(t, &server{fault: c.fault}, 1000); err == nil || !strings.Contains(err.Error(), c.want) || out.n != 0 {
					t.Errorf("%d came, %v", out.n, err)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // also where nothing more comes into a folder that is watched
		if _, err := thereAll(t, &server{fault: always(refused, false)}, waiting(sent(10))); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Error(err)
		}
	})
	// One image that is too large for what is in between fails alone, and so do the images of a job that somebody deletes.
	for name, c := range map[string]struct {
		fault func(int, *http.Request) fault
		want  string
	}{"too large": {always(too, false), "too_large: "}, "deleted": {always(forgot, true), "was deleted at the server"}} {
		synctest.Test(t, func(t *testing.T) {
			if out, err := there(t, &server{fault: c.fault}, 10); err != nil || strings.Count(out.text.String(), c.want) != 10 {
				t.Errorf("%s: %v\n%s", name, err, &out.text)
			}
		})
	}
}

// An archive stands for many images at a server, and a file without a name for none.
func TestEachImageIsOneAtTheServerWhateverItIsAndIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var items []bulk.Items
		for _, image := range []struct {
			name string
			data []byte
		}{{"a.jpg", zipped}, {"b\n", red}, {"\n", blue}, {"\x01", red}, {"c", blue}} {
			items = append(items, bulk.One(newFinder().Input(image.name, bytes.NewReader(image.data))))
		}
		out, err := thereAll(t, new(server), from(bulk.Join(items...)))
		want := "a.jpg unsupported_type: a.jpg is an archive and not an image: unpack it, and name the folder\nb\n red\n\n blue\n\x01 red\nc blue\n"
		if err != nil || out.text.String() != want {
			t.Errorf("%v\n%s", err, &out.text)
		}
	})
}

// What counts is how long the server was out of reach at one time, and not how long it has all taken.
func TestPatienceIsForAServerThatIsOutOfReach(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		fault func(look int) fault
		want  string
	}{
		"events are cut off after a long time, again and again": {3 * time.Minute, func(look int) fault { return map[bool]fault{true: half}[look < 50] }, ""},
		"between them it restarts":                              {50 * time.Second, func(look int) fault { return []fault{half, refused, fine}[min(look%2+look/50*2, 2)] }, ""},
		"it is gone":                                            {0, func(int) fault { return refused }, "(tried for 1m0s)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looks := map[string]int{} // at each job
				s := &server{takes: c.takes, fault: func(_ int, r *http.Request) fault {
					if isPost(r) {
						return fine
					}
					looks[r.URL.Path]++
					return c.fault(looks[r.URL.Path])
				}}
				out, err := there(t, s, 10)
				if c.want == "" && (err != nil || out.n != 10) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("%d came, %v", out.n, err)
				}
				if err != nil && strings.Contains(err.Error(), "\n") {
					t.Errorf("an error of several lines: %v", err)
				}
			})
		})
	}
}
