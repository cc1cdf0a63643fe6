package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
)

const (
	askEvery = 2 * time.Second // between two jobs of a curious client
	fewTold  = 20              // times told are too few to judge by
	heldAt90 = 0.75            // the least share of times told as eta_p90 that must hold: nine in ten, with room for chance
)

// curious is a client among the flood that sends a job now and then, remembers the times that it is told, and sees when the job ends.
type curious struct {
	client  *client.Client
	picture []byte

	mu     sync.Mutex
	took   []float64 // times taken, in parts of the times told
	held   int       // of them, within what was told as eta_p90
	untold int       // jobs accepted without a time
	wrong  []string
}

// run sends jobs until ctx ends, and returns when the last has ended.
func (c *curious) run(ctx context.Context) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := time.Now()
		job, err := c.client.Send(ctx, client.Files(c.files), client.Order{})
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if e := ocelli.AsError(err); e == nil || e.Code != ocelli.Overloaded {
				c.fail(fmt.Sprintf("the curious client: %v", err))
			}
		case job.ETA == nil || job.ETAP90 == nil:
			c.mu.Lock()
			c.untold++
			c.mu.Unlock()
		default:
			waiting.Go(func() { c.await(context.WithoutCancel(ctx), job, began) })
		}
	}
}

func (c *curious) files(yield func(client.File) bool) {
	for i := range jobImages {
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.picture)), nil }
		if !yield(client.File{Name: fmt.Sprintf("%d.jpg", i), Open: open}) {
			return
		}
	}
}

// await sees whether the job ends when it was told to.
func (c *curious) await(ctx context.Context, job *ocelli.Job, began time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for range c.client.Watch(ctx, job.ID) {
		continue
	}
	ended := time.Now()
	last, err := c.client.Job(ctx, job.ID)
	if err == nil && last.State != ocelli.JobDone {
		err = errors.New("it has not ended")
	}
	if err != nil {
		c.fail(fmt.Sprintf("the curious client's job %s: %v", job.ID, err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, ended.Sub(began).Seconds()/max(job.ETA.Sub(began).Seconds(), 0.001))
	if !ended.After(*job.ETAP90) {
		c.held++
	}
}

func (c *curious) fail(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, what)
}

// conclude prints how well the times came true, and returns what is wrong with them.
func (c *curious) conclude(out io.Writer) (broken []string) {
	n := len(c.took)
	if n == 0 {
		fmt.Fprintf(out, "times told: none, of %d jobs\n", c.untold)
		return c.wrong
	}
	slices.Sort(c.took)
	near := 0
	for _, t := range c.took {
		if t >= 0.8 && t <= 1.2 {
			near++
		}
	}
	middle, held := c.took[n/2], float64(c.held)/float64(n)
	fmt.Fprintf(out, "times told: of %d jobs half took up to %.2f × the time told as eta, nine in ten up to %.2f ×, %d %% within a fifth of it; eta_p90 held for %d %%\n",
		n, middle, c.took[n*9/10], 100*near/n, int(100*held))
	if n >= fewTold && (middle < 0.75 || middle > 1.25) {
		broken = append(broken, fmt.Sprintf("the times told are off by a factor of %.2f in the middle", middle))
	}
	if n >= fewTold && held < heldAt90 {
		broken = append(broken, fmt.Sprintf("the times told as eta_p90 held for %.0f %% of the jobs only", 100*held))
	}
	return append(broken, c.wrong...)
}
