package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/api"
)

// line is any line of a stream: a job, a result or a problem.
type line struct {
	ID     ocelli.JobID    `json:"id"`
	State  ocelli.JobState `json:"state"`
	Total  int             `json:"total"`
	Name   string          `json:"name"`
	Labels []ocelli.Label  `json:"labels"`
	Error  *ocelli.Error   `json:"error"`
	Code   ocelli.Code     `json:"code"`
}

// lines reads a stream up to its end.
func lines(t *testing.T, r io.Reader) (all []line) {
	t.Helper()
	for in := bufio.NewScanner(r); in.Scan(); {
		all = append(all, parse(t, in.Text()))
	}
	return all
}

func parse(t *testing.T, text string) (l line) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return l
}

// streamed makes a request that asks for lines.
func streamed(t *testing.T, method, url, contentType string, body io.Reader, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// The upload does not go on until the first results are read.
func TestResultsComeWhileTheUploadGoesOn(t *testing.T) {
	url := serve(t)
	body, upload := io.Pipe()
	parts := multipart.NewWriter(upload)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			part, err := parts.CreateFormFile("f", fmt.Sprintf("%d.png", i))
			if err == nil {
				_, err = part.Write([][]byte{red, blue}[i%2])
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	go send(0, 40)
	resp := streamed(t, "POST", url+"/v1/jobs", parts.FormDataContentType(), body)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	in := bufio.NewScanner(resp.Body)
	in.Scan()
	job := parse(t, in.Text())
	if !job.ID.Valid() || job.State != ocelli.JobRunning {
		t.Errorf("the first line is %s", in.Text())
	}
	seen := map[string]string{}
	for len(seen) < 30 && in.Scan() {
		l := parse(t, in.Text())
		seen[l.Name] = l.Labels[0].Name
	}
	go func() {
		send(40, 100)
		parts.Close()
		upload.Close()
	}()
	var last line
	for in.Scan() {
		if last = parse(t, in.Text()); last.Labels != nil {
			seen[last.Name] = last.Labels[0].Name
		}
	}
	if last.ID != job.ID || last.State != ocelli.JobDone || last.Total != 100 || len(seen) != 100 {
		t.Errorf("%d results, and the last line is %+v", len(seen), last)
	}
	for i := range 100 {
		if got, want := seen[fmt.Sprintf("%d.png", i)], []string{"red", "blue"}[i%2]; got != want {
			t.Errorf("image %d is %q, want %q", i, got, want)
		}
	}

	again := lines(t, streamed(t, "GET", url+"/v1/jobs/"+string(job.ID), "", nil).Body)
	if len(again) != 102 || again[101].State != ocelli.JobDone {
		t.Errorf("asked again there are %d lines", len(again))
	}
}

// narrow makes connections that take little at a time.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(32 << 10)
	}
	return c, err
}

// The answer is far larger than what fits between server and client, and nothing of it is read before all is sent.
func TestAClientThatSendsAllBeforeItListensGetsEverything(t *testing.T) {
	server := httptest.NewUnstartedServer(newHandler(t))
	server.Listener = narrow{server.Listener}
	server.Start()
	defer server.Close()
	var pairs []any
	for i := range 900 {
		pairs = append(pairs, fmt.Sprintf("%d.png", i), append(bytes.Clone(red), make([]byte, 2000)...))
	}
	contentType, body := form(t, pairs...)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", contentType, len(body))
	if _, err := conn.Write(body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	all := lines(t, resp.Body)
	if last := all[len(all)-1]; len(all) != 902 || last.State != ocelli.JobDone || last.Total != 900 {
		t.Errorf("%d lines, the last is %+v", len(all), last)
	}
}

func TestAStreamSaysWhatIsWrong(t *testing.T) {
	url := serve(t)
	contentType, body := form(t, "1.png", red, "2.txt", []byte("text"), "3.png", blue)

	// Before the first line it is an answer like any other.
	resp := streamed(t, "POST", url+"/v1/jobs", contentType, bytes.NewReader(body[:20]))
	var p api.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != 400 || p.Code != ocelli.BadRequest {
		t.Errorf("cut at once: %s %+v %v", resp.Status, p, err)
	}
	// After it, it is the last line, and the job is taken back.
	all := lines(t, streamed(t, "POST", url+"/v1/jobs", contentType, bytes.NewReader(body[:len(body)-30])).Body)
	if last := all[len(all)-1]; last.Code != ocelli.BadRequest {
		t.Errorf("cut later, the last line is %+v", last)
	}
	if resp, _ := call(t, "GET", url+"/v1/jobs/"+string(all[0].ID), "", nil); resp.StatusCode != 404 {
		t.Errorf("the job that was cut is %s", resp.Status)
	}

	all = lines(t, streamed(t, "POST", url+"/v1/jobs", contentType, bytes.NewReader(body), "Idempotency-Key", "k").Body)
	codes := map[string]ocelli.Code{}
	for _, l := range all[1 : len(all)-1] {
		codes[l.Name] = ""
		if l.Error != nil {
			codes[l.Name] = l.Error.Code
		}
	}
	if fmt.Sprint(codes) != "map[1.png: 2.txt:unsupported_type 3.png:]" {
		t.Errorf("got %v", codes)
	}
	again := lines(t, streamed(t, "POST", url+"/v1/jobs", contentType, bytes.NewReader(body), "Idempotency-Key", "k").Body)
	if len(again) != len(all) || again[0].ID != all[0].ID || again[len(again)-1].State != ocelli.JobDone {
		t.Errorf("a repeat is %+v", again)
	}
	resp = streamed(t, "GET", url+"/v1/jobs/01JD0000000000000000000000", "", nil)
	if resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a job that is not there: %s", resp.Status)
	}
}

func TestAKeyBelongsToOneContent(t *testing.T) {
	url := serve(t)
	post := func(query, key string, pairs ...any) (int, string) {
		t.Helper()
		contentType, body := form(t, pairs...) // each with a boundary of its own
		resp, text := call(t, "POST", url+"/v1/jobs?"+query, contentType, body, "Idempotency-Key", key)
		return resp.StatusCode, text
	}
	large := append(bytes.Clone(red), make([]byte, 2<<20)...) // more than one image may have
	files := []any{"a.png", red, "b.txt", bytes.Repeat([]byte("words "), 5000), "large.png", large}
	if status, text := post("", "k", files...); status != 202 {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := post("", "k", files...); status != 202 {
		t.Errorf("the same again: %d %s", status, text)
	}
	changed := append(bytes.Clone(large), 1)
	for name, other := range map[string][]any{
		"another picture": {"a.png", blue, "b.txt", files[3], "large.png", large},
		"another name":    {"x.png", red, "b.txt", files[3], "large.png", large},
		"one less":        {"a.png", red, "b.txt", files[3]},
		"one more":        append(append([]any{}, files...), "c.png", red),
		"a changed end":   {"a.png", red, "b.txt", files[3], "large.png", changed},
	} {
		if status, text := post("", "k", other...); status != 422 || !strings.Contains(text, "key_reused") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, text := post("deadline=1h", "k", files...); status != 422 {
		t.Errorf("with a deadline: %d %s", status, text)
	}
}
