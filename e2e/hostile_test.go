package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
)

// corpus is a folder of hostile and odd files that is not part of the repository.
var corpus, _ = filepath.Abs("../../shared/data/hostile/files")

// workerPeak is what a worker may need in memory at most, whatever it is given: bytes.
const workerPeak = 512 << 20

// swallow sends every file of the corpus, first as one job and then each by itself, and fails unless each gets labels or an error that says what is
// wrong with it, no worker ends, and none needs more than workerPeak.
func swallow(ts *testscript.TestScript, _ bool, _ []string) {
	s := serviceOf(ts)
	c, err := client.New(s.url)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	before, err := c.Status(ctx)
	starting := func(w ocelli.Worker) bool { return w.PID == 0 }
	for err == nil && slices.ContainsFunc(before.Workers, starting) {
		time.Sleep(50 * time.Millisecond)
		before, err = c.Status(ctx)
	}
	ts.Check(err)
	files := folder(ts, corpus)
	job, err := c.Submit(ctx, func(yield func(client.File) bool) {
		for _, f := range files {
			if !yield(f) {
				return
			}
		}
	}, 4*time.Minute)
	ts.Check(err)
	if job.State != ocelli.JobDone || len(job.Images) != len(files) {
		ts.Fatalf("of %d files %d are there, the job is %s", len(files), len(job.Images), job.State)
	}
	codes := map[ocelli.Code]int{}
	for i, image := range job.Images {
		single := alone(ctx, ts, c, files[i])
		for _, e := range []*ocelli.Error{image.Error, single} {
			if e == nil {
				codes["labels"]++
				continue
			}
			codes[e.Code]++
			if e.Code == ocelli.GaveUp || e.Code == "" || len(e.Message) < 20 {
				ts.Fatalf("%s is answered with %q: %s", image.Name, e.Code, e.Message)
			}
		}
		if image.Error == nil && (image.Result == nil || len(image.Result.Labels) == 0) || (image.Error == nil) != (single == nil) {
			ts.Fatalf("%s got %+v in a job and %v alone", image.Name, image, single)
		}
	}
	after, err := c.Status(ctx)
	ts.Check(err)
	for i, w := range after.Workers {
		if i >= len(before.Workers) || w.PID != before.Workers[i].PID {
			ts.Fatalf("worker %s is another than before: %+v, %+v", w.Name, before.Workers, after.Workers)
		}
		peak, err := peakOf(w.PID)
		ts.Check(err)
		ts.Logf("%s needed at most %d MB", w.Name, peak>>20)
		if peak > workerPeak {
			ts.Fatalf("%s needed %d MB", w.Name, peak>>20)
		}
	}
	ts.Logf("%d files, twice each: %v", len(files), codes)
}

// alone classifies one file and returns what is wrong with it.
func alone(ctx context.Context, ts *testscript.TestScript, c *client.Client, f client.File) *ocelli.Error {
	r, err := f.Open()
	ts.Check(err)
	defer r.Close()
	data, err := io.ReadAll(r)
	ts.Check(err)
	_, err = c.Classify(ctx, f.Name, bytes.NewReader(data))
	if e := ocelli.AsError(err); e != nil {
		return e
	}
	ts.Check(err)
	return nil
}

// peakOf is the most memory that a process has had at once, in bytes.
func peakOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d does not tell its peak", pid)
}
