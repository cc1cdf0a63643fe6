package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// service is `ocelli up` in a folder of its own.
type service struct {
	cmd  *exec.Cmd
	url  string
	http *http.Client
	log  *os.File
}

// start runs the binary and returns when it is ready, with the time that took.
func (b *bench) start(ctx context.Context, args ...string) (*service, time.Duration, error) {
	dir, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, 0, err
	}
	return b.startIn(ctx, dir, args...)
}

// startIn does the same in a folder that may have been used before.
func (b *bench) startIn(ctx context.Context, dir string, args ...string) (*service, time.Duration, error) {
	if err := b.fillMemory(ctx); err != nil {
		return nil, 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	addr := l.Addr().String()
	l.Close()
	s := &service{url: "http://" + addr, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}}
	if s.log, err = os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, 0, err
	}
	s.cmd = exec.CommandContext(ctx, b.binary, append([]string{"up", "--listen", addr, "--data", dir, "--log-level", "warn"}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, 0, err
	}
	for ctx.Err() == nil && time.Since(began) < time.Minute {
		if resp, err := s.http.Get(s.url + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, time.Since(began), nil
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	s.stop()
	return nil, 0, fmt.Errorf("the service did not become ready; %s says why", s.log.Name())
}

// stop ends the service and waits until it is gone.
func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // which tells how it ended; what it had to do was checked before
	s.log.Close()
	s.http.CloseIdleConnections()
}

// request is a body that can be sent many times.
type request struct {
	path, contentType string
	body              []byte
	images            int
}

// jobOf is a form of n pictures, taken in turn, whose answer has all results.
func jobOf(pictures [][]byte, n int) request {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := range n {
		part, err := w.CreateFormFile("image", fmt.Sprintf("%d.jpg", i))
		if err == nil {
			_, err = part.Write(pictures[i%len(pictures)])
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	w.Close()
	return request{"/v1/jobs?wait=600s", w.FormDataContentType(), b.Bytes(), n}
}

// one is a single picture.
func one(picture []byte) request {
	return request{"/v1/classify", "image/jpeg", picture, 1}
}

// do sends a request and checks that each of its images has labels.
func (s *service) do(ctx context.Context, r request) error {
	body, err := s.post(ctx, r)
	if err != nil {
		return err
	}
	// Reading the answer as JSON would cost as much as many an image takes.
	if n := bytes.Count(body, []byte(`"labels":[{`)); n != r.images {
		return fmt.Errorf("%d of %d images have labels: %.300s", n, r.images, body)
	}
	return nil
}

func (s *service) post(ctx context.Context, r request) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", r.contentType)
	return s.answer(req)
}

func (s *service) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	return s.answer(req)
}

// answer returns the body of the answer to a request, which has to be a good one.
func (s *service) answer(req *http.Request) ([]byte, error) {
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("the service answered %s: %.300s", resp.Status, body)
	}
	return body, err
}

// status is what the service says of itself.
func (s *service) status(ctx context.Context) (st struct {
	Ready, Leased int64
	Workers       []struct{ State string }
}, err error) {
	body, err := s.get(ctx, "/v1/status")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(body, &st)
}

// until waits for a state of the service.
func (s *service) until(ctx context.Context, most time.Duration, is func(backlog int64, workers int) bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		st, err := s.status(ctx)
		if err != nil {
			return fmt.Errorf("waiting for the service: %w", err)
		}
		if is(st.Ready+st.Leased, len(st.Workers)) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// residentMB is the memory of the parent process, without its workers, and peakMB the most that it ever had.
func (s *service) residentMB() (float64, error) { return s.memory("VmRSS:") }
func (s *service) peakMB() (float64, error)     { return s.memory("VmHWM:") }

// ownMB is the part of the memory that is not the file of the program.
func (s *service) ownMB() (float64, error) { return s.memory("RssAnon:") }

// cpu is the processor time that the service and the workers it has now have taken.
func (s *service) cpu() (time.Duration, error) {
	root := strconv.Itoa(s.cmd.Process.Pid)
	lists, err := filepath.Glob("/proc/" + root + "/task/*/children") // of each thread its own
	if err != nil {
		return 0, err
	}
	pids := []string{root}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			return 0, err
		}
		pids = append(pids, strings.Fields(string(children))...)
	}
	ticks := 0
	for _, pid := range pids {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			return 0, err
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		for _, field := range fields[11:13] { // in user and in kernel mode
			n, err := strconv.Atoi(field)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

func (s *service) memory(of string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, of); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d tells nothing of its memory", s.cmd.Process.Pid)
}
