package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/api"
	"github.com/ocelli/ocelli/internal/openapi/openapitest"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

// serve runs the API on seams in memory with one worker that names colours.
func serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(newHandler(t))
	t.Cleanup(server.Close)
	return server.URL
}

func newHandler(t *testing.T) http.Handler {
	t.Helper()
	s := worktest.Start(t, 1)
	s.Intake.Limits.RequestBytes, s.Intake.Limits.ImageBytes = 8<<20, 1<<20
	a := &api.API{
		Intake: s.Intake, Tracker: s.Tracker, Results: s.Results, Blobs: s.Blobs, Log: slog.New(slog.DiscardHandler),
		Status: func(context.Context) ocelli.Status { return ocelli.Status{Workers: []ocelli.Worker{}, Version: "test"} },
		Ready:  api.Readiness(func(ctx context.Context) error { _, err := s.Queue.Stats(ctx); return err }),
		Thumbnail: func(_ context.Context, open func() (io.ReadCloser, error)) ([]byte, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			defer body.Close()
			whole, err := io.ReadAll(body)
			return append([]byte("small "), whole...), err
		},
	}
	mux := http.NewServeMux()
	doc := a.Register(mux)
	return api.Steady(openapitest.Handler(t, doc, mux))
}

var (
	red  = worktest.Picture(color.RGBA{R: 255, A: 255}, 8, 4)
	blue = worktest.Picture(color.RGBA{B: 255, A: 255}, 8, 4)
)

// call makes a request, with headers of name, value, name, value…, and returns its answer and body.
func call(t *testing.T, method, url, contentType string, body []byte, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// form is a multipart form of files: name, bytes, name, bytes…
func form(t *testing.T, pairs ...any) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		part, err := w.CreateFormFile(fmt.Sprint("any", i), pairs[i].(string))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(pairs[i+1].([]byte))
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestAJobFromUploadToExport(t *testing.T) {
	url := serve(t)
	contentType, body := form(t, "r.png", red, "=cmd.txt", []byte("text"), "b.png", blue)
	resp, text := call(t, "POST", url+"/v1/jobs?wait=30s", contentType, body)
	var job ocelli.Job
	if err := json.Unmarshal([]byte(text), &job); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s, %v: %s", resp.Status, err, text)
	}
	if job.State != ocelli.JobDone || job.Total != 3 || job.Done != 2 || job.Failed != 1 || job.Images[0].Result.Labels[0].Name != "red" ||
		job.Images[2].Result.Labels[0].Name != "blue" || job.Images[1].Error.Code != ocelli.UnsupportedType {
		t.Errorf("the job reads %s", text)
	}
	if resp.Header.Get("Location") != job.Links.Self {
		t.Errorf("Location is %q, want %q", resp.Header.Get("Location"), job.Links.Self)
	}

	_, again := call(t, "GET", url+job.Links.Self, "", nil)
	if again != text {
		t.Errorf("asked again it reads %s", again)
	}
	resp, text = call(t, "GET", url+"/v1/images/"+string(job.Images[2].ID), "", nil)
	var image ocelli.ImageStatus
	if err := json.Unmarshal([]byte(text), &image); err != nil || resp.StatusCode != 200 || image.Name != "b.png" || image.Result.Labels[0].Name != "blue" {
		t.Errorf("%s: %s", resp.Status, text)
	}
	resp, text = call(t, "GET", url+"/v1/images/"+string(job.Images[2].ID)+"/thumbnail", "", nil)
	if text != "small "+string(blue) || resp.Header.Get("Content-Type") != "image/jpeg" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the small copy is %s: %q", resp.Status, text)
	}
	resp, text = call(t, "GET", url+"/v1/images/"+string(job.Images[1].ID)+"/thumbnail", "", nil)
	if resp.StatusCode != 404 || !strings.Contains(text, "were not kept") {
		t.Errorf("the small copy of what is no image is %s: %s", resp.Status, text)
	}
	resp, text = call(t, "GET", url+"/v1/images/"+string(job.Images[2].ID)+"/content", "", nil)
	if text != string(blue) || resp.Header.Get("Content-Type") != "image/png" || resp.Header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("content: %s %v", resp.Status, resp.Header)
	}
	_, text = call(t, "GET", url+"/v1/jobs/"+string(job.ID)+"/results.csv", "", nil)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], string(job.Images[0].ID)+",r.png,done,red,") || !strings.Contains(lines[2], ",'=cmd.txt,failed,") {
		t.Errorf("the table reads\n%s", text)
	}
}

func TestOneImageIsAnsweredAtOnce(t *testing.T) {
	url := serve(t)
	formType, formBody := form(t, "r.png", red)
	for name, c := range map[string]struct {
		contentType string
		body        []byte
	}{"raw": {"image/png", red}, "as curl sends it": {"application/x-www-form-urlencoded", red}, "form": {formType, formBody}} {
		resp, text := call(t, "POST", url+"/v1/classify?name=r.png", c.contentType, c.body)
		var r ocelli.Result
		if err := json.Unmarshal([]byte(text), &r); err != nil || resp.StatusCode != 200 || r.Labels[0].Name != "red" || r.Name != "r.png" || r.Width != 8 || r.Height != 4 {
			t.Errorf("%s: %s: %s", name, resp.Status, text)
		}
	}
}

func TestARepeatWithTheSameKeyIsTheSameJob(t *testing.T) {
	url := serve(t)
	contentType, body := form(t, "r.png", red)
	post := func(path, key string, body []byte) (int, ocelli.Job) {
		t.Helper()
		resp, text := call(t, "POST", url+path, contentType, body, "Idempotency-Key", key)
		var job ocelli.Job
		_ = json.Unmarshal([]byte(text), &job)
		return resp.StatusCode, job
	}
	_, first := post("/v1/jobs?wait=30s", "key 1", body)
	status, again := post("/v1/jobs?wait=30s", "key 1", body)
	if status != 200 || again.ID != first.ID || again.Done != 1 {
		t.Errorf("repeated: %d, job %s, want %s", status, again.ID, first.ID)
	}
	if resp, text := call(t, "GET", url+"/v1/uploads/key%201", "", nil); resp.StatusCode != 200 || !strings.Contains(text, `"/v1/jobs/`+string(first.ID)+`/events"`) {
		t.Errorf("the job of the key is told as %s: %s", resp.Status, text)
	}
	for _, unknown := range []string{"nobody", strings.Repeat("x", 300), "..%2f..%2fjobs"} {
		if resp, text := call(t, "GET", url+"/v1/uploads/"+unknown, "", nil); resp.StatusCode != 404 {
			t.Errorf("the key %.20q: %s: %s", unknown, resp.Status, text)
		}
	}
	if _, other := post("/v1/jobs", "key 2", body); other.ID == first.ID || other.ID == "" {
		t.Errorf("another key: job %s", other.ID)
	}
	// What was refused can be repeated.
	if status, _ := post("/v1/jobs", "key 3", []byte("no form")); status != 400 {
		t.Errorf("a bad request: %d", status)
	}
	if status, job := post("/v1/jobs", "key 3", body); status != 202 || job.ID == "" {
		t.Errorf("its repeat, mended: %d", status)
	}
	if status, _ := post("/v1/jobs", strings.Repeat("x", 300), body); status != 400 {
		t.Errorf("a long key: %d", status)
	}
	// Of many at once one is the first; the others get its job, or are told to wait.
	var all sync.WaitGroup
	var mu sync.Mutex
	ids := map[ocelli.JobID]bool{}
	for range 20 {
		all.Go(func() {
			status, job := post("/v1/jobs", "key 4", body)
			mu.Lock()
			defer mu.Unlock()
			if status == 202 {
				ids[job.ID] = true
			} else if status != 409 {
				t.Errorf("at once: %d", status)
			}
		})
	}
	all.Wait()
	if len(ids) != 1 {
		t.Errorf("20 at once became %d jobs", len(ids))
	}
}

func TestErrorsAreProblems(t *testing.T) {
	url := serve(t)
	twoType, two := form(t, "1", red, "2", blue)
	noneType, none := form(t)
	const job = "/v1/jobs/01JD0000000000000000000000"
	for _, c := range []struct {
		method, path, contentType string
		body                      []byte
		status                    int
		code                      ocelli.Code
	}{
		{"POST", "/v1/classify", "", []byte("I am text"), 415, ocelli.UnsupportedType},
		{"POST", "/v1/classify", "", nil, 400, ocelli.NoImages},
		{"POST", "/v1/classify", "image/png", nil, 422, ocelli.EmptyFile},
		{"POST", "/v1/classify", "", red[:50], 422, ocelli.CorruptImage},
		{"POST", "/v1/classify", "", append(bytes.Clone(red), make([]byte, 2<<20)...), 413, ocelli.TooLarge},
		{"POST", "/v1/classify", "", append(bytes.Clone(red), make([]byte, 9<<20)...), 413, ocelli.TooLarge},
		{"POST", "/v1/classify", twoType, two, 413, ocelli.TooManyImages},
		{"POST", "/v1/jobs", noneType, none, 400, ocelli.NoImages},
		{"POST", "/v1/jobs", "multipart/form-data", none, 400, ocelli.BadRequest},
		{"POST", "/v1/jobs?wait=1h", twoType, two, 400, ocelli.BadRequest},
		{"POST", "/v1/jobs?webhook=https://example.com/a;b", twoType, two, 400, ocelli.BadRequest},
		{"POST", "/v1/jobs?wait=%zz", twoType, two, 400, ocelli.BadRequest},
		{"DELETE", "/v1/jobs/01JD0000000000000000000002?purge=true;", "", nil, 400, ocelli.BadRequest},
		{"GET", job, "", nil, 404, ocelli.NotFound},
		{"DELETE", job, "", nil, 404, ocelli.NotFound},
		{"GET", job + "/events", "", nil, 404, ocelli.NotFound},
		{"GET", job + "/results.csv", "", nil, 404, ocelli.NotFound},
		{"GET", "/v1/jobs/..%2fx", "", nil, 404, ocelli.NotFound},
		{"GET", "/v1/images/01JD0000000000000000000000-0001", "", nil, 404, ocelli.NotFound},
		{"GET", "/v1/images/x/content", "", nil, 404, ocelli.NotFound},
		{"GET", "/v1/images/x/thumbnail", "", nil, 404, ocelli.NotFound},
		{"PUT", "/v1/jobs", "", nil, 405, ocelli.WrongMethod},
		{"GET", "/v1/classify", "", nil, 405, ocelli.WrongMethod},
		{"POST", "/v1/nothing", "", red, 404, ocelli.NotFound},
		{"GET", "/v1/nothing", "", nil, 404, ocelli.NotFound},
	} {
		resp, text := call(t, c.method, url+c.path, c.contentType, c.body)
		var p api.Problem
		if err := json.Unmarshal([]byte(text), &p); err != nil || resp.StatusCode != c.status || p.Status != c.status || p.Code != c.code ||
			p.Detail == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %s: %s\nwant %d %s", c.method, c.path, resp.Status, text, c.status, c.code)
		}
	}
}

// A client that sends all before it listens gets the early answer to a large body, and not a broken connection.
func TestAnEarlyAnswerReachesAClientThatStillSends(t *testing.T) {
	url := serve(t)
	address := strings.TrimPrefix(url, "http://")
	for _, path := range []string{"/v1/classify?wait=bogus", "/v1/classify"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		const size = 64 << 20
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", path, size)
		if n, err := io.CopyN(conn, zeros{}, size); err != nil {
			t.Errorf("%s: sending broke off after %d bytes: %v", path, n, err)
		}
		text, err := io.ReadAll(conn)
		if err != nil || !bytes.HasPrefix(text, []byte("HTTP/1.1 4")) {
			t.Errorf("%s: %.60q, %v", path, text, err)
		}
		conn.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestEventsAreSentAsResultsComeAndAgainFromWhereAClientLeft(t *testing.T) {
	url := serve(t)
	contentType, body := form(t, "1", red, "2", blue, "3", []byte("x"))
	_, text := call(t, "POST", url+"/v1/jobs", contentType, body)
	var job ocelli.Job
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	events := func(last string) (ids []string, kinds []string) {
		req, _ := http.NewRequest("GET", url+job.Links.Self+"/events", nil)
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("type %s", resp.Header.Get("Content-Type"))
		}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				ids = append(ids, id)
			}
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				kinds = append(kinds, kind)
			}
		}
		return ids, kinds
	}
	// A mark of no result, as somebody may make one up, is none.
	ids, kinds := events("")
	life, _, _ := strings.Cut(ids[0], "-")
	for _, mark := range []string{"-9223372036854775807", "-3", "-9223372036854775808", "--1"} {
		if again, kinds := events(life + mark); len(again) != 3 || len(kinds) != 4 {
			t.Errorf("from %s on: %v %v", mark, again, kinds)
		}
	}
	if fmt.Sprint(kinds) != "[result result result done]" || len(ids) != 3 {
		t.Fatalf("got %v %v", ids, kinds)
	}
	if rest, kinds := events(ids[1]); fmt.Sprint(rest, kinds) != "["+ids[2]+"] [result done]" {
		t.Errorf("after the second event: %v %v", rest, kinds)
	}
	if _, kinds := events(ids[2]); fmt.Sprint(kinds) != "[done]" {
		t.Errorf("after the last event: %v", kinds)
	}
	// The server has been started again since: everything comes again.
	if again, kinds := events("XXXXXXXX-1"); fmt.Sprint(again) != fmt.Sprint(ids) || len(kinds) != 4 {
		t.Errorf("after an event of another life: %v %v", again, kinds)
	}
}

func TestAHundredConnectionsAtOnceGetEachItsOwnAnswer(t *testing.T) {
	url := serve(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			want, data := "red", red
			if i%2 == 1 {
				want, data = "blue", blue
			}
			c, err := client.New(url)
			if err != nil {
				t.Error(err)
				return
			}
			r, err := c.Classify(t.Context(), fmt.Sprintf("%d.png", i), bytes.NewReader(data))
			if err != nil || r.Labels[0].Name != want || r.Name != fmt.Sprintf("%d.png", i) {
				t.Errorf("image %d: %+v, %v", i, r, err)
			}
		})
	}
	all.Wait()
}

func TestTheClientSubmitsWatchesAndTellsErrors(t *testing.T) {
	c, err := client.New(serve(t) + "/")
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) client.File {
		return client.File{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
	}
	files := []client.File{file("r", red), file("b", blue)}
	job, err := c.Submit(t.Context(), func(yield func(client.File) bool) {
		for _, f := range files {
			if !yield(f) {
				return
			}
		}
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for r, err := range c.Watch(t.Context(), job.ID) {
		if err != nil {
			t.Fatal(err)
		}
		labels[r.Name] = r.Labels[0].Name
	}
	if fmt.Sprint(labels) != "map[b:blue r:red]" {
		t.Errorf("got %v", labels)
	}
	if job, err = c.Job(t.Context(), job.ID); err != nil || job.Done != 2 {
		t.Errorf("got %+v, %v", job, err)
	}
	if _, err := c.Job(t.Context(), "01JD0000000000000000000000"); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.NotFound {
		t.Errorf("got %v", err)
	}
	broken := client.File{Name: "gone", Open: func() (io.ReadCloser, error) { return nil, io.ErrClosedPipe }}
	if _, err := c.Submit(t.Context(), func(yield func(client.File) bool) { yield(broken) }, 0); err == nil || !strings.Contains(err.Error(), "closed pipe") {
		t.Errorf("a file that cannot be opened: %v", err)
	}
	if s, err := c.Status(t.Context()); err != nil || s.Version != "test" {
		t.Errorf("got %+v, %v", s, err)
	}
}
