package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
)

// setjob sets JOB to the newest job of the service that OCELLI_KEY may see.
func setjob(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := client.New(serviceOf(ts).url, client.WithKey(ts.Getenv("OCELLI_KEY")))
	ts.Check(err)
	jobs, err := c.Jobs(context.Background(), 1)
	ts.Check(err)
	if len(jobs) == 0 {
		ts.Fatalf("there is no job")
	}
	ts.Setenv("JOB", string(jobs[0].ID))
}

// halfway FILE LINES ARG… kills `ocelli ARG…` with SIGKILL when it has written so many lines to a file.
func halfway(ts *testscript.TestScript, _ bool, args []string) {
	lines, err := strconv.Atoi(args[1])
	ts.Check(err)
	cmd := exec.Command(binary, args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		text, _ := os.ReadFile(ts.MkAbs(args[0]))
		if bytes.Count(text, []byte("\n")) >= lines {
			ts.Check(cmd.Process.Kill())
			<-ended
			return
		}
		select {
		case err := <-ended:
			ts.Fatalf("it ended before: %v\n%s", err, &errs)
		default:
		}
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			<-ended
			ts.Fatalf("%s has %d lines after two minutes", args[0], bytes.Count(text, []byte("\n")))
		}
	}
}

// once FILE N fails unless the lines of a file are the results of N different images.
func once(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	seen := map[string]bool{}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var r ocelli.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Labels) == 0 {
			ts.Fatalf("%v: %s", err, line)
		}
		if seen[r.Name] {
			ts.Fatalf("%s was done twice", r.Name)
		}
		seen[r.Name] = true
	}
	if len(seen) != n {
		ts.Fatalf("%d images are done, want %d", len(seen), n)
	}
}

// comes FILE waits until there is a file, for a minute.
func comes(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("there is no %s after a minute", args[0])
		}
	}
}

var profilesAt = regexp.MustCompile(`"msg":"profiles are at","url":"([^"]+)"`)

// profiles fails unless the service tells its profiles at their own address, and to programs of this machine only.
func profiles(ts *testscript.TestScript, _ bool, _ []string) {
	found := profilesAt.FindStringSubmatch(ts.ReadFile("up.log"))
	if found == nil {
		ts.Fatalf("the log does not say where profiles are")
	}
	for host, want := range map[string]int{"": http.StatusOK, "evil.example": http.StatusForbidden} {
		req, err := http.NewRequest(http.MethodGet, found[1]+"heap", nil)
		ts.Check(err)
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			ts.Fatalf("the heap profile is answered with %s to the host %q", resp.Status, host)
		}
	}
}
