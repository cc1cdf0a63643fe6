// Package load puts a service under a load that is known exactly, and checks every answer: it is both the generator for benchmarks and the
// acceptance test of a deployment.
//
// A closed loop keeps a number of connections busy: each sends its next request when it has the answer to the last, as people and batch
// programs do. An open loop sends at a rate, whatever comes back, as the world does. There the time of a request counts from the moment at
// which it was due and not from when it could be sent, so that a service that stalls cannot hide the requests that had to wait meanwhile
// ("coordinated omission", Tene, "How NOT to Measure Latency", 2013).
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
)

// Load is one run. Its fields are set before [Load.Run], which is called once.
type Load struct {
	Client *client.Client
	Pool   []*Picture // what is sent, by chance
	Mix    Mix

	Connections int   // of a closed loop
	Rate        *Rate // of an open loop; nil makes it a closed one
	InFlight    int   // requests that an open loop has under way at most

	Length   time.Duration // after which no request is begun; 0 for none
	Requests int64         // after so many no request is begun; 0 for no limit
	Warmup   time.Duration // of the beginning, whose answers are checked and whose times are not counted
	Timeout  time.Duration // of one request, its results included
	Seed     uint64

	name  string // of this run: part of the name of each image
	began time.Time
	sent  atomic.Int64 // requests begun
	tally tally
}

// Run sends requests until one of the limits is reached or ctx ends, waits for the answers, and reports what came of them. Requests that
// the end of ctx broke off count for nothing.
func (l *Load) Run(ctx context.Context) *Report {
	l.began, l.name = time.Now(), fmt.Sprintf("%08x", rand.Uint32())
	l.tally.counted = l.began.Add(l.Warmup)
	watching, enough := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { l.watch(watching) })

	beginning := ctx
	if l.Length > 0 {
		var cancel context.CancelFunc
		beginning, cancel = context.WithDeadline(ctx, l.began.Add(l.Warmup+l.Length))
		defer cancel()
	}
	if l.Rate != nil {
		l.open(ctx, beginning)
	} else {
		l.closed(ctx, beginning)
	}
	enough()
	watch.Wait()
	return l.report(ctx.Err() != nil)
}

// more reports whether another request is to be begun, and numbers it.
func (l *Load) more(beginning context.Context) (n int64, ok bool) {
	if beginning.Err() != nil {
		return 0, false
	}
	n = l.sent.Add(1)
	if l.Requests > 0 && n > l.Requests {
		l.sent.Add(-1)
		return 0, false
	}
	return n, true
}

// closed keeps each connection busy with one request after another.
func (l *Load) closed(ctx, beginning context.Context) {
	var all sync.WaitGroup
	for i := range l.Connections {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(l.Seed, uint64(i)))
			for {
				n, ok := l.more(beginning)
				if !ok {
					return
				}
				l.request(ctx, n, time.Now(), chance.Uint64())
			}
		})
	}
	all.Wait()
}

// open begins each request at its time. Where too many are under way it waits, and the wait counts.
func (l *Load) open(ctx, beginning context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	chance := rand.New(rand.NewPCG(l.Seed, 0))
	places := make(chan struct{}, l.InFlight)
	for due := range l.Rate.times(chance, l.Warmup+l.Length) {
		at := l.began.Add(due)
		select {
		case <-beginning.Done():
		case <-time.After(time.Until(at)):
		}
		if time.Now().Before(at) {
			return
		}
		select {
		case <-beginning.Done():
			l.tally.missed(at)
			continue
		case places <- struct{}{}:
		}
		n, ok := l.more(beginning)
		if !ok {
			return
		}
		l.tally.lagged(at)
		seed := chance.Uint64()
		all.Go(func() {
			l.request(ctx, n, at, seed)
			<-places
		})
	}
}

// request makes one request and enters what came of it.
func (l *Load) request(ctx context.Context, n int64, due time.Time, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, uint64(n)))
	kind := l.Mix.pick(chance)
	images := make([]sent, kind.Images)
	for i := range images {
		p := l.Pool[chance.IntN(len(l.Pool))]
		images[i] = sent{Picture: p, name: fmt.Sprintf("load-%s-%d-%d%s", l.name, n, i+1, p.Ext)}
	}
	l.tally.begin()
	trying, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	var wrong []string
	var err error
	if kind.Job {
		wrong, err = l.job(trying, images)
	} else {
		wrong, err = l.single(trying, images[0])
	}
	if ctx.Err() != nil {
		err = errStopped
	}
	l.tally.end(kind, images, due, wrong, err)
}

// errStopped is the error of a request that was broken off because the run was.
var errStopped = errors.New("stopped")

// single sends one image and checks its labels.
func (l *Load) single(ctx context.Context, image sent) (wrong []string, err error) {
	r, err := l.Client.Classify(ctx, image.name, image.reader())
	if e := ocelli.AsError(err); e != nil && e.Code == image.Code {
		return nil, nil // it is bad, and was found to be
	}
	if err != nil {
		return nil, err
	}
	return l.tally.check(image, ocelli.ImageStatus{ID: r.Image, Name: r.Name, State: ocelli.ImageDone, Result: r}), nil
}

// job sends several images as one job, waits for all results and checks each.
func (l *Load) job(ctx context.Context, images []sent) (wrong []string, err error) {
	deadline, _ := ctx.Deadline()
	wait := func() time.Duration { return max(0, min(time.Until(deadline).Round(time.Millisecond), time.Minute)) }
	job, err := l.Client.Submit(ctx, files(images), wait())
	for err == nil && !job.Finished() {
		if wait() == 0 {
			return nil, fmt.Errorf("job %s has %d of %d results after %s", job.ID, job.Done+job.Failed, job.Total, l.Timeout)
		}
		job, err = l.Client.WaitForJob(ctx, job.ID, wait())
	}
	if err != nil {
		return nil, err
	}
	if len(job.Images) != len(images) || job.Total != len(images) || job.Done+job.Failed != len(images) {
		return []string{fmt.Sprintf("job %s of %d images came back with %d: %d done and %d failed", job.ID, len(images), len(job.Images), job.Done, job.Failed)}, nil
	}
	for i, status := range job.Images {
		if status.ID != ocelli.NewImageID(job.ID, i+1) {
			wrong = append(wrong, fmt.Sprintf("at place %d of job %s is image %s", i+1, job.ID, status.ID))
		}
		wrong = append(wrong, l.tally.check(images[i], status)...)
	}
	return wrong, nil
}

// watchEvery is how often the service is asked for its state while it is under load.
const watchEvery = time.Second

// watch looks at the state of the service until ctx ends. A service that does not tell is left alone.
func (l *Load) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		status, err := l.Client.Status(asking)
		cancel()
		if err == nil {
			l.tally.seen(status)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
