package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet/ec2test"
)

// serviceKey is under which the environment of a script keeps its service.
type key string

const serviceKey key = "service"

// service is what one script runs: `ocelli up`, or the roles of a fleet.
type service struct {
	binary string // the program
	cmd    *exec.Cmd
	url    string
	nodes  []string // URLs of all web nodes; url is the first
	args   []string
	log    *os.File
	jobs   []ocelli.JobID // submitted, and not yet checked by finished
	images []int          // of each job
	kills  int            // of workers
	fleet  fleet
	traces *traces // what came of the service, where a script collects it
	cloud  *cloud

	machines *ec2test.Machines
}

func serviceOf(ts *testscript.TestScript) *service { return ts.Value(serviceKey).(*service) }

// firstWidth is the width of the first picture; each further one is a pixel wider, so that a result tells which picture it
// belongs to.
const firstWidth = 65

// pictures DIR N makes N different JPEG files.
func pictures(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.MkdirAll(dir, 0o755))
	for i := range n {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		img := image.NewRGBA(image.Rect(0, 0, firstWidth+i, 80))
		for range 20 {
			c := color.RGBA{uint8(random.UintN(256)), uint8(random.UintN(256)), uint8(random.UintN(256)), 255}
			x, y := random.IntN(firstWidth+i), random.IntN(80)
			for dx := range 20 {
				for dy := range 20 {
					img.Set(x+dx, y+dy, c)
				}
			}
		}
		var b bytes.Buffer
		ts.Check(jpeg.Encode(&b, img, nil))
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("picture-%04d.jpg", i)), b.Bytes(), 0o644))
	}
}

var greeting = regexp.MustCompile(`Ocelli is up at (http://\S+)`)

// up [FLAG…] starts `ocelli up` on the folder data and a free port, and sets URL. Without flags after a crash or down it starts again
// as it was.
func up(ts *testscript.TestScript, _ bool, args []string) {
	s := serviceOf(ts)
	if s.cmd != nil {
		ts.Fatalf("the service runs already")
	}
	if len(args) > 0 || s.args == nil {
		s.args = append([]string{"up", "--listen=127.0.0.1:0", "--data=" + ts.MkAbs("data"), "--lease=2s", "--worker-idle=2s"}, args...)
	}
	log, err := os.OpenFile(ts.MkAbs("up.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	s.log = log
	s.cmd = exec.Command(s.binary, s.args...)
	s.cmd.Env = environment(ts)
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	ts.Defer(func() { s.end(syscall.SIGTERM) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := greeting.FindStringSubmatch(lines.Text()); m != nil {
			s.url, s.nodes = m[1], []string{m[1]}
			ts.Setenv("URL", s.url)
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	s.end(syscall.SIGKILL)
	text, _ := os.ReadFile(ts.MkAbs("up.log"))
	ts.Fatalf("the service did not come up:\n%s", text)
}

// environment is what the processes of a service see of the script's.
func environment(ts *testscript.TestScript) []string {
	var env []string
	names := []string{"PATH", "HOME", "OCELLI_ONNXRUNTIME", "OCELLI_MODEL", "OCELLI_NATS_TOKEN", "OCELLI_WEBHOOK_SECRET",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_BSP_SCHEDULE_DELAY"}
	for _, name := range append(names, cloudVariables...) {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// end signals the service and waits until it has ended.
func (s *service) end(sig syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	_ = cmd.Process.Signal(sig)
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	defer s.log.Close()
	return cmd.Wait()
}

// down ends the service as Ctrl-C does; it must end well.
func down(ts *testscript.TestScript, _ bool, _ []string) {
	if err := serviceOf(ts).end(os.Interrupt.(syscall.Signal)); err != nil {
		text, _ := os.ReadFile(ts.MkAbs("up.log"))
		ts.Fatalf("the service did not end well: %v\n%s", err, text)
	}
}

// crash kills the service with SIGKILL.
func crash(ts *testscript.TestScript, _ bool, _ []string) { _ = serviceOf(ts).end(syscall.SIGKILL) }

// http STATUS METHOD PATH [FILE…] makes a request and fails unless it is answered with the status. One FILE without form is the body
// ("@FILE"); others are the files of a form. The answer's body becomes stdout for the next line.
func request(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: http STATUS METHOD PATH [@FILE | FILE…]")
	}
	var body io.Reader
	contentType := ""
	switch files := args[3:]; {
	case len(files) == 1 && strings.HasPrefix(files[0], "@"):
		data, err := os.ReadFile(ts.MkAbs(files[0][1:]))
		ts.Check(err)
		body, contentType = bytes.NewReader(data), "application/octet-stream"
		if filepath.Ext(files[0]) == ".json" {
			contentType = "application/json"
		}
	case args[1] == http.MethodPost:
		var form bytes.Buffer
		parts := multipart.NewWriter(&form)
		for _, file := range files {
			field, path, ok := strings.Cut(file, "=")
			if !ok {
				field, path = "image", file
			}
			data, err := os.ReadFile(ts.MkAbs(path))
			ts.Check(err)
			part, err := parts.CreateFormFile(field, filepath.Base(path))
			ts.Check(err)
			_, err = part.Write(data)
			ts.Check(err)
		}
		ts.Check(parts.Close())
		body, contentType = &form, parts.FormDataContentType()
	}
	req, err := http.NewRequest(args[1], serviceOf(ts).url+args[2], body)
	ts.Check(err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if key := ts.Getenv("OCELLI_KEY"); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(text)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("%s %s answered %s:\n%.500s", args[1], args[2], resp.Status, text)
	}
}

// folder yields the files of a folder.
func folder(ts *testscript.TestScript, dir string) []client.File {
	entries, err := os.ReadDir(ts.MkAbs(dir))
	ts.Check(err)
	var files []client.File
	for _, e := range entries {
		path := filepath.Join(ts.MkAbs(dir), e.Name())
		files = append(files, client.File{Name: e.Name(), Open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	return files
}

// submit N DIR sends all pictures of a folder as one job, N times at once, to the web nodes in turn, and remembers the jobs.
func submit(ts *testscript.TestScript, _ bool, args []string) {
	s := serviceOf(ts)
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	files := folder(ts, args[1])
	jobs, errs := make([]*ocelli.Job, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		c, err := client.New(s.nodes[i%len(s.nodes)])
		ts.Check(err)
		all.Go(func() {
			jobs[i], errs[i] = c.Submit(context.Background(), func(yield func(client.File) bool) {
				for _, f := range files {
					if !yield(f) {
						return
					}
				}
			}, 0)
		})
	}
	all.Wait()
	ts.Check(errors.Join(errs...))
	for _, job := range jobs {
		s.jobs = append(s.jobs, job.ID)
		s.images = append(s.images, len(files))
	}
}

// harass N EVERY [DIR] kills one of the workers at work with SIGKILL, N times, once in every EVERY. Whenever nothing is left to work on,
// it submits the pictures of DIR once more.
func harass(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	every, err := time.ParseDuration(args[1])
	ts.Check(err)
	c, err := client.New(serviceOf(ts).url)
	ts.Check(err)
	deadline := time.Now().Add(time.Minute)
	killed := map[int]bool{}
	for ; len(killed) < n; time.Sleep(every) {
		if time.Now().After(deadline) {
			ts.Fatalf("only %d workers could be killed in a minute", len(killed))
		}
		status, err := c.Status(context.Background())
		ts.Check(err)
		if len(args) > 2 && status.Ready+status.Leased == 0 {
			submit(ts, false, []string{"1", args[2]})
		}
		for _, i := range rand.Perm(len(status.Workers)) {
			w := status.Workers[i]
			if w.State == ocelli.WorkerBusy && !killed[w.PID] && syscall.Kill(w.PID, syscall.SIGKILL) == nil {
				ts.Logf("killed %s (%d, %s)", w.Name, w.PID, w.State)
				killed[w.PID] = true
				serviceOf(ts).kills++
				break
			}
		}
	}
}

// finished WITHIN waits until all jobs that were submitted are done, and checks that every picture has exactly one result and its own.
func finished(ts *testscript.TestScript, _ bool, args []string) {
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	s := serviceOf(ts)
	c, err := client.New(s.url)
	ts.Check(err)
	deadline := time.Now().Add(within)
	again := 0
	for i, id := range s.jobs {
		job, err := c.Job(context.Background(), id)
		ts.Check(err)
		for job.State == ocelli.JobRunning && time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond)
			job, err = c.Job(context.Background(), id)
			ts.Check(err)
		}
		if job.State != ocelli.JobDone || job.Done != s.images[i] || job.Failed != 0 || len(job.Images) != s.images[i] {
			ts.Fatalf("job %s of %d images after %s: %s, %d done, %d failed, %d images", id, s.images[i], within, job.State, job.Done, job.Failed, len(job.Images))
		}
		for place, image := range job.Images {
			if image.Name != fmt.Sprintf("picture-%04d.jpg", place) || image.ID != ocelli.NewImageID(id, place+1) {
				ts.Fatalf("at place %d of job %s is %s, %s", place, id, image.ID, image.Name)
			}
			if r := image.Result; r.Width != firstWidth+place || r.Image != image.ID || len(r.Labels) == 0 {
				ts.Fatalf("%s has the result of another picture: %+v", image.ID, r)
			}
			if image.Result.Attempt > 1 {
				again++
			}
		}
		outputs, err := os.ReadDir(filepath.Join(cmp.Or(ts.Getenv("STORE"), ts.MkAbs("data")), "output", string(id)))
		ts.Check(err)
		if len(outputs) != s.images[i] {
			ts.Fatalf("job %s has %d results in the store, want %d", id, len(outputs), s.images[i])
		}
	}
	ts.Logf("%d jobs are right; %d images took more than one attempt", len(s.jobs), again)
	s.jobs, s.images = nil, nil
}

// workers N WITHIN waits until there are N workers, of whatever state.
func workers(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	within, err := time.ParseDuration(args[1])
	ts.Check(err)
	c, err := client.New(serviceOf(ts).url)
	ts.Check(err)
	deadline := time.Now().Add(within)
	for {
		status, err := c.Status(context.Background())
		ts.Check(err)
		if len(status.Workers) == n {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %s there are %d workers, want %d: %s", within, len(status.Workers), n, status.Reason)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// exits CODE COMMAND… runs a command and fails unless it exits with the code. Its output becomes stdout and stderr for the next line.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s exited with %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// big BYTES FILE makes a JPEG followed by zeros, of so many bytes.
func big(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	data := make([]byte, n)
	copy(data, "\xff\xd8\xff\xe0")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}
