package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
)

// verdict is what became of the images of a job.
type verdict struct {
	lost    int // accepted, and no result that a sound image has
	again   int // delivered to a worker more than once
	mixedUp int // with the result of another, with one that changed, or in another place
	why     []string
	results map[ocelli.ImageID]string // of each image, as first seen
}

// watch looks after the jobs that are under way, until ctx ends.
func (l *ledger) watch(ctx context.Context) {
	for ctx.Err() == nil {
		for _, o := range l.open() {
			l.look(ctx, o)
		}
		wait(ctx, 200*time.Millisecond)
	}
}

func (l *ledger) open() []*order {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.jobs), func(o *order) bool { return o.done })
}

func (l *ledger) job(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.service.url+"/v1/jobs/"+string(id), nil)
	if err != nil {
		return nil, err
	}
	resp, err := quick.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var job ocelli.Job
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("job %s: %s", id, resp.Status)
	}
	return &job, json.NewDecoder(resp.Body).Decode(&job)
}

// look takes down the results of a job that is done.
func (l *ledger) look(ctx context.Context, o *order) {
	job, err := l.job(ctx, o.id)
	if err != nil || job.State != ocelli.JobDone {
		return
	}
	v := o.judge(job)
	l.mu.Lock()
	defer l.mu.Unlock()
	o.verdict, o.done = v, true
}

// judge compares a job that is done with what its client sent.
func (o *order) judge(job *ocelli.Job) verdict {
	v := verdict{results: map[ocelli.ImageID]string{}}
	blame := func(count *int, format string, args ...any) {
		*count++
		v.why = append(v.why, fmt.Sprintf("job %s: ", job.ID)+fmt.Sprintf(format, args...))
	}
	if job.Total != o.images || len(job.Images) != o.images {
		blame(&v.lost, "%d images were sent and %d are there", o.images, len(job.Images))
		return v
	}
	for i, image := range job.Images {
		name, width, height := o.picture(i)
		text, _ := json.Marshal(image)
		v.results[image.ID] = string(text)
		r := image.Result
		if r != nil && r.Attempt > 1 {
			v.again++
		}
		switch {
		case image.Name != name || image.ID != ocelli.NewImageID(job.ID, i+1):
			blame(&v.mixedUp, "at place %d is %s, %s", i, image.ID, image.Name)
		case o.poisoned && i == 0:
			if image.Error == nil || image.Error.Code != ocelli.GaveUp {
				blame(&v.mixedUp, "%s crashes its worker and was not given up: %s", name, text)
			}
		case image.Error != nil:
			blame(&v.lost, "%s is sound and failed: %s", name, image.Error.Message)
		case r == nil || len(r.Labels) == 0:
			blame(&v.lost, "%s has no labels: %s", name, text)
		case r.Width != width || r.Height != height || r.Image != image.ID:
			blame(&v.mixedUp, "%s of %d×%d has the result %s", name, width, height, text)
		}
	}
	return v
}

// settle waits until all jobs are done, then looks at everything once more: in the service's answers and in its store.
func (l *ledger) settle(ctx context.Context, within time.Duration) error {
	for end := time.Now().Add(within); len(l.open()) > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		for _, o := range l.open() {
			l.look(ctx, o)
		}
		wait(ctx, 200*time.Millisecond)
	}
	for _, o := range l.jobs {
		job, err := l.job(ctx, o.id)
		if err != nil {
			return fmt.Errorf("looking at the results of %s: %w", l.service.name, err)
		}
		if !o.done {
			o.verdict = o.judge(job)
			o.verdict.why = append(o.verdict.why, fmt.Sprintf("job %s was accepted %v ago and is %s, %d of %d done\n%s", o.id,
				time.Since(o.accepted).Round(time.Second), job.State, job.Done, job.Total, l.service.tails()))
			continue
		}
		for id, now := range o.judge(job).results {
			if before := o.verdict.results[id]; before != now {
				o.verdict.mixedUp++
				o.verdict.why = append(o.verdict.why, fmt.Sprintf("the result of %s has changed: it was %s and is %s", id, before, now))
			}
		}
	}
	return l.checkStore()
}

// checkStore compares the files of the store with what was accepted: as many results as images, and no job that nobody was told of.
func (l *ledger) checkStore() error {
	if l.service.data == "" {
		return nil
	}
	for _, o := range l.jobs {
		files, err := os.ReadDir(filepath.Join(l.service.data, "output", string(o.id)))
		if err != nil || len(files) != o.images {
			o.verdict.lost++
			o.verdict.why = append(o.verdict.why, fmt.Sprintf("job %s has %d images and %d results in the store (%v)", o.id, o.images, len(files), err))
		}
	}
	manifests, err := filepath.Glob(filepath.Join(l.service.data, "jobs", "*.json"))
	if err != nil {
		return err
	}
	for _, path := range manifests {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "torn-off") {
			_ = l.accuse("%s was made of an upload that broke off", path)
		}
	}
	return nil
}

var ended = regexp.MustCompile(`time=(\S+) .*msg="image (?:done|failed)" .*image=(\S+) `)

// executions are the moments at which workers ended an image, by image, from the logs.
func (s *service) executions() (map[string][]time.Time, error) {
	all := map[string][]time.Time{}
	for _, role := range s.keepers {
		f, err := os.Open(filepath.Join(s.dir, role+".log"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if m := ended.FindStringSubmatch(lines.Text()); m != nil {
				at, _ := time.Parse(time.RFC3339, m[1])
				all[m[2]] = append(all[m[2]], at)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
