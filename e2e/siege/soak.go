package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
)

// soakBacklog is how many images may wait before jobs are refused: at twice the capacity this is reached within a minute.
const soakBacklog = 2000

// jobImages is how many images each job of the flood has.
const jobImages = 10

// sample is the state of the service at one moment.
type sample struct {
	at      float64 // seconds from the beginning
	node    usage
	workers usage // the largest of them, in each
	backlog int64
}

// flood is what `ocelli load --json` says in the end.
type flood struct {
	Requests, Right, Wrong, Refused, Failed int64
	ImageRate                               float64 `json:"images_per_s"`
	Problems                                []string
}

// soak asks twice of the service what it can do, for the set time.
func soak(ctx context.Context, program string, duration time.Duration, plot string, out io.Writer) error {
	s, err := prepare(program)
	if err != nil {
		return err
	}
	// Two owners, since only who is known can have a share.
	m := &modest{http: &http.Client{Timeout: 2 * time.Minute}, picture: picture()}
	if s.key, err = s.newKey(ctx, "flood"); err != nil {
		return err
	}
	if m.key, err = s.newKey(ctx, "modest"); err != nil {
		return err
	}
	if err := s.start(ctx, fmt.Sprintf("--max-backlog=%d", soakBacklog), "--log-level=warn", "--auth=on"); err != nil {
		return err
	}
	defer s.end()
	m.url = s.url
	c := &curious{client: s.client, picture: m.picture}
	most, err := s.flood(ctx, "--connections=8", "--mix=job10", "--duration=15s", "--warmup=5s")
	if err != nil {
		return fmt.Errorf("measuring the capacity: %w", err)
	}
	rate := 2 * most.ImageRate / jobImages
	fmt.Fprintf(out, "the service does %.0f images a second; %.1f jobs of %d come each second, for %v\n", most.ImageRate, rate, jobImages, duration)

	flooding, enough := context.WithTimeout(ctx, duration+3*time.Minute)
	defer enough()
	type end struct {
		flood
		err error
	}
	done := make(chan end, 1)
	go func() {
		f, err := s.flood(flooding, fmt.Sprintf("--rate=%.2f/s", rate), fmt.Sprintf("--mix=job%d", jobImages), "--duration="+duration.String(), "--timeout=5m")
		done <- end{f, err}
	}()
	samples := s.watch(ctx, duration, m, c)
	e := <-done
	if e.err != nil {
		return fmt.Errorf("the flood: %w", e.err)
	}
	return conclude(out, samples, e.flood, m, c, plot)
}

// flood runs `ocelli load` on the service. Answers that are wrong are told in the report, not as an error.
func (s *service) flood(ctx context.Context, args ...string) (flood, error) {
	var f flood
	cmd := exec.CommandContext(ctx, s.program, append([]string{"load", "--server=" + s.url, "--json"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "OCELLI_KEY="+s.key)
	text, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 3) {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
}

// watch takes a sample each second, while the clients do their work.
func (s *service) watch(ctx context.Context, duration time.Duration, m *modest, c *curious) []sample {
	var samples []sample
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	polite, leave := context.WithCancel(ctx)
	var clients sync.WaitGroup
	clients.Go(func() { m.run(polite) })
	clients.Go(func() { c.run(polite) })
	defer func() { leave(); clients.Wait() }()
	for time.Since(began) < duration && ctx.Err() == nil {
		<-tick.C
		one := sample{at: time.Since(began).Seconds(), node: usageOf(s.cmd.Process.Pid)}
		if status, err := s.client.Status(ctx); err == nil {
			one.backlog = status.Ready + status.Leased
			for _, w := range status.Workers {
				u := usageOf(w.PID)
				one.workers.resident, one.workers.descriptors = max(one.workers.resident, u.resident), max(one.workers.descriptors, u.descriptors)
			}
		}
		samples = append(samples, one)
	}
	return samples
}

// conclude prints the table and checks what was promised.
func conclude(out io.Writer, samples []sample, f flood, m *modest, c *curious, plot string) error {
	var broken []string
	mean := func(part []sample, of func(sample) float64) float64 {
		sum := 0.0
		for _, s := range part {
			sum += of(s)
		}
		return sum / float64(max(len(part), 1))
	}
	// The first quarter is for filling up. What grows after that, grows without end.
	n := len(samples)
	second, last := samples[n/4:n/2], samples[3*n/4:]
	fmt.Fprintf(out, "\n%-32s %12s %12s\n", "mean of", "2nd quarter", "last quarter")
	for _, row := range []struct {
		name  string
		of    func(sample) float64
		slack float64 // that is no growth, beside a fifth
	}{
		{"web node, MB", func(s sample) float64 { return float64(s.node.resident >> 20) }, 16},
		{"web node, descriptors", func(s sample) float64 { return float64(s.node.descriptors) }, 32},
		{"largest worker, MB", func(s sample) float64 { return float64(s.workers.resident >> 20) }, 16},
		{"largest worker, descriptors", func(s sample) float64 { return float64(s.workers.descriptors) }, 8},
		{"images that wait", func(s sample) float64 { return float64(s.backlog) }, soakBacklog},
	} {
		a, b := mean(second, row.of), mean(last, row.of)
		fmt.Fprintf(out, "%-32s %12.0f %12.0f\n", row.name, a, b)
		if b > 1.2*a+row.slack {
			broken = append(broken, fmt.Sprintf("%s grew from %.0f to %.0f", row.name, a, b))
		}
	}
	slices.Sort(m.took)
	fmt.Fprintf(out, "\nflood: %d requests, %d images right, %d wrong; %d requests were refused with 429, %d failed in another way\n",
		f.Requests, f.Right, f.Wrong, f.Refused, f.Failed)
	if len(m.took) > 0 {
		fmt.Fprintf(out, "modest client: %d images, p50 %.1f s, p99 %.1f s; %d were refused with 429, all told when to come again: between %d and %d s\n",
			len(m.took), m.took[len(m.took)/2], m.took[len(m.took)*99/100], m.refused, m.soonest, m.latest)
	}
	broken = slices.Concat(broken, c.conclude(out), m.wrong, f.Problems)
	if f.Wrong+f.Failed > 0 || f.Refused == 0 {
		broken = append(broken, fmt.Sprintf("the flood met %d wrong answers, %d failures and %d refusals: it should be none, none and many", f.Wrong, f.Failed, f.Refused))
	}
	if plot != "" {
		if err := draw(plot, samples); err != nil {
			return err
		}
	}
	for _, b := range broken {
		fmt.Fprintln(out, "BROKEN:", b)
	}
	if len(broken) > 0 {
		return errBroken
	}
	return nil
}

// modest is a client beside the flood that sends one image, waits for its labels, and pauses for a second.
type modest struct {
	url, key string
	http     *http.Client
	picture  []byte

	took            []float64
	refused         int
	soonest, latest int // seconds of Retry-After
	wrong           []string
}

func (m *modest) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		if m.send(ctx) {
			m.took = append(m.took, time.Since(began).Seconds())
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// send sends one image, and looks at how it is refused where it is.
func (m *modest) send(ctx context.Context) (done bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/v1/classify", bytes.NewReader(m.picture))
	if err != nil {
		m.wrong = append(m.wrong, err.Error())
		return false
	}
	req.Header.Set("Authorization", "Bearer "+m.key)
	resp, err := m.http.Do(req)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		m.wrong = append(m.wrong, err.Error())
		return false
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		var r ocelli.Result
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || r.Width != pictureWidth {
			m.wrong = append(m.wrong, fmt.Sprintf("the modest client got the answer %+v, %v", r, err))
		}
		return true
	case http.StatusTooManyRequests:
		after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || after < 1 {
			m.wrong = append(m.wrong, fmt.Sprintf("429 with Retry-After %q", resp.Header.Get("Retry-After")))
			return false
		}
		if m.refused == 0 || after < m.soonest {
			m.soonest = after
		}
		m.refused, m.latest = m.refused+1, max(m.latest, after)
	default:
		m.wrong = append(m.wrong, "the modest client was answered "+resp.Status)
	}
	return false
}
