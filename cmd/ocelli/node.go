package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/api"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fetch"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/retain"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/telemetry"
	"github.com/ocelli/ocelli/internal/thumb"
	"github.com/ocelli/ocelli/internal/web"
	"github.com/ocelli/ocelli/internal/webhook"
)

// shutdownTime bounds how long the service takes to end once it is told to.
const shutdownTime = 10 * time.Second

// graceTime is how long of it requests under way have to end by themselves.
const graceTime = time.Second

// nodeSettings are what a web node can be told, beyond what all parts of a service share.
type nodeSettings struct {
	listen       string
	maxRequest   size
	maxJobImages int
	maxBacklog   int64
	debug        string
	door         doorSettings
	outward      outwardSettings
	bucket       ingestSettings
	keep         age
	keepImages   age
}

func (s *nodeSettings) register(f *pflag.FlagSet) {
	s.maxRequest = 16 << 30
	f.StringVar(&s.listen, "listen", defaultListen, "`HOST:PORT` of the page and the API, or unix:/PATH of a socket for a reverse proxy")
	f.Var(&s.maxRequest, "max-request", "bytes of one request")
	f.IntVar(&s.maxJobImages, "max-job-images", 10_000, "images of one job")
	f.Int64Var(&s.maxBacklog, "max-backlog", 1_000_000, "images that may wait; then new jobs are refused for a while")
	s.keep = age(30 * day)
	f.Var(&s.keep, "keep", "delete jobs with their images and results so long after they were accepted, like 30d or 12h; 0 keeps them for ever")
	f.Var(&s.keepImages, "keep-images", "delete the images of jobs that have ended earlier than their results; 0 keeps them as long")
	f.StringVar(&s.debug, "debug-listen", "", "`HOST:PORT` on this machine alone for profiles, at /debug/pprof/ (default: none)")
	s.door.register(f)
	s.outward.register(f)
	s.bucket.register(f)
}

func (s *nodeSettings) problems() []error {
	errs := slices.Concat(s.door.problems(), s.outward.problems(), s.bucket.problems())
	if s.maxJobImages < 1 || s.maxJobImages > 1_000_000 {
		errs = append(errs, fmt.Errorf("--max-job-images=%d is not possible: give 1 to 1000000", s.maxJobImages))
	}
	if s.maxBacklog < 1 {
		errs = append(errs, fmt.Errorf("--max-backlog=%d is not possible: give 1 or more", s.maxBacklog))
	}
	if err := checkDebug(s.debug); err != nil {
		errs = append(errs, err)
	}
	if s.maxRequest < 1<<10 {
		errs = append(errs, fmt.Errorf("--max-request=%s is not possible: give 1KB or more", &s.maxRequest))
	}
	return errs
}

// node is one web node: it takes images and shows results. The one of `ocelli up` also keeps the workers.
type node struct {
	log      *slog.Logger
	backends *backends
	roster   *fleet.Roster
	tracker  *result.Tracker
	intake   *intake.Intake
	janitor  *retain.Janitor
	webhooks *webhook.Sender
	metrics  *telemetry.Metrics
	handler  http.Handler
	door     *door
	model    *ocelli.Model // nil where workers are kept elsewhere
	networks networks
	history  web.History
	thumbs   *thumb.Maker
	folder   string // of the data; "" where it is elsewhere

	taking   func(ctx context.Context) error // takes images from a bucket, where there is one
	keeper   *controller                     // nil where workers are always kept elsewhere
	follower *scale.Follower                 // nil where they never are
}

// newNode returns a web node. The keys of callers are in folder unless the settings say otherwise; at is where it will be reached.
func newNode(ctx context.Context, shared sharedSettings, s nodeSettings, at net.Addr, folder string, b *backends, roster *fleet.Roster, model *ocelli.Model, log *slog.Logger) (*node, error) {
	store, err := blob.Identity(ctx, b.blobs)
	if err != nil {
		return nil, err
	}
	objects, err := openBuckets(ctx, s.outward.buckets)
	if err != nil {
		return nil, err
	}
	name := ulid.Make().String()
	d, err := s.door.open(at, folder, b.blobs, name, log)
	if err != nil {
		return nil, err
	}
	n := &node{log: log, backends: b, roster: roster, model: model, door: d, folder: folder, networks: networks{settings: []modelSettings{{}}}}
	n.metrics = telemetry.New(telemetry.Source{Status: func() ocelli.Status { return n.status(context.Background()) }, Started: n.started, Waiting: n.waiting})
	results := &result.Store{Blobs: b.blobs, Bus: b.bus}
	n.tracker = result.NewTracker(results, "result."+name, log, n.metrics.Ended)
	n.tracker.Keep = time.Duration(s.keep)
	jobs := &retain.Jobs{
		Blobs: b.blobs, Results: results, Queue: b.queue, Store: store, Topic: n.tracker.Topic(), Backlog: s.maxBacklog, Forget: n.tracker.Forget,
	}
	n.janitor = &retain.Janitor{Jobs: jobs, Keep: time.Duration(s.keep), KeepImages: time.Duration(s.keepImages), Took: n.tracker.Took, Log: log}
	n.webhooks = s.outward.sender(b, results, n.tracker, log)
	n.intake = &intake.Intake{
		Blobs: b.blobs, Queue: b.queue, Results: results, Tracker: n.tracker,
		Limits: intake.Limits{RequestBytes: int64(s.maxRequest), ImageBytes: int64(shared.maxImage), JobImages: s.maxJobImages, Backlog: s.maxBacklog},
		Store:  store,
		Tell:   n.webhooks,
		Getter: fetch.New(s.outward.fetch.Policy, nil),
		Memory: intake.NewMemory(jsonMemory),
		Sent:   n.sent,
		Log:    log,
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program to make small copies with: %w", err)
	}
	n.thumbs = thumb.NewMaker([]string{self, thumbnailsCommand}, os.Stderr, log)
	mux := http.NewServeMux()
	a := &api.API{
		Intake: n.intake, Tracker: n.tracker, Results: results, Jobs: jobs, Blobs: b.blobs,
		Status: n.status, Ready: api.Readiness(n.checkQueue), Decisions: b.journal.Since, Log: log,
		Thumbnail: n.thumbs.Make,
	}
	programs := n.mountPrograms(mux, a, s)
	pages := web.New(web.Config{
		Intake: n.intake, Tracker: n.tracker, Blobs: b.blobs, Status: n.status, Log: log, Guard: d.guard, API: programs,
		History: &n.history, Decisions: b.journal.Latest, Network: n.networks.find,
		Settings: n.settings, Checks: n.checks, KeepImages: time.Duration(s.keepImages),
	})
	mux.Handle("/", pages)
	n.mountRekognition(mux, pages, objects, d.guard)
	refuse := func(w http.ResponseWriter, r *http.Request, err error) {
		if access.WantsPage(r) {
			pages.Refuse(w, r, err)
			return
		}
		a.Fail(w, r, err)
	}
	n.handler = api.Steady(d.before(&api.Crowd{Most: mostUploads, Next: mux, Refuse: refuse}, refuse))
	if n.taking, err = s.bucket.open(ctx, n); err != nil {
		return nil, err
	}
	return n, nil
}

// keep makes the node the one that keeps the workers, whenever its controller leads.
func (n *node) keep(c *controller) {
	n.keeper = c
	n.tracker.Forecaster = n
}

// follow makes the node show what another process decides, whenever that keeps the workers.
func (n *node) follow(f *scale.Follower) {
	n.follower = f
	n.tracker.Forecaster = n
}

// leads reports whether it is this process that keeps the workers. Else others launch them, and only those that report are known.
func (n *node) leads() bool { return n.keeper != nil && n.keeper.leads.Load() }

// trace makes the node record traces.
func (n *node) trace(tracer *telemetry.Tracer) {
	n.intake.Tracer = tracer
	n.handler = tracer.Handler(n.handler)
}

// started is how many workers this node has started.
func (n *node) started() int64 {
	if n.keeper == nil {
		return 0
	}
	return n.keeper.started.Load()
}

// waiting is how many images of this node's jobs have no result.
func (n *node) waiting() int { return n.tracker.Waiting() }

// sent is called when n images have been queued.
func (n *node) sent(images int) {
	n.metrics.Accepted(images)
	if n.leads() {
		n.keeper.loop.Wake()
	} else if n.follower != nil {
		n.follower.Wake(context.Background())
	}
}

// forecaster is who knows how long images take.
func (n *node) forecaster() interface {
	result.Forecaster
	Calibration() (jobs int, within20 float64)
} {
	if n.leads() || n.follower == nil {
		return n.keeper.loop
	}
	return n.follower
}

// Forecast and Came implement [result.Forecaster].
func (n *node) Forecast(images int64) (eta, p90 time.Duration, known bool) {
	return n.forecaster().Forecast(images)
}

func (n *node) Came(eta, took time.Duration) { n.forecaster().Came(eta, took) }

func (n *node) checkQueue(ctx context.Context) error {
	_, err := n.backends.queue.Stats(ctx)
	return err
}

// status is what the node tells about itself and the workers.
func (n *node) status(ctx context.Context) ocelli.Status {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s := ocelli.Status{Workers: []ocelli.Worker{}, Rate: n.metrics.Rate(), Model: n.model, Version: ocelli.Version()}
	stats, err := n.backends.queue.Stats(ctx)
	if err != nil {
		s.Problem = "the queue does not answer: " + err.Error()
	}
	s.Ready, s.Leased, s.OldestAge = stats.Ready, stats.Leased, stats.Oldest.Seconds()
	leads := n.leads()
	reports := map[string]fleet.Report{}
	for _, h := range n.roster.Reports() {
		reports[h.Name] = h.Report
		if s.Model == nil {
			s.Model = h.Model
		}
		if !leads {
			s.Workers = append(s.Workers, shownWorker(fleet.Worker{Name: h.Name, PID: h.PID, State: h.State}, h.Report))
		}
	}
	var decision scale.Decision
	var problem string
	switch {
	case leads:
		for _, w := range n.keeper.crew.Snapshot().Workers {
			s.Workers = append(s.Workers, shownWorker(w, reports[w.Name]))
		}
		decision, problem = n.keeper.loop.Last()
		decision.Policy = n.keeper.loop.Policy()
	case n.follower != nil:
		outlook, fresh := n.follower.Last()
		if !fresh {
			return s
		}
		decision, problem = outlook.Decision, outlook.Problem
	default:
		return s
	}
	s.Wanted, s.Max, s.Reason = decision.Want, decision.Policy.Max, decision.Reason
	s.ETA.Jobs, s.ETA.Within20 = n.forecaster().Calibration()
	if s.Problem == "" {
		s.Problem = problem
	}
	return s
}

// shownWorker is a worker with what it has said of itself; its state is as its crew sees it.
func shownWorker(w fleet.Worker, said fleet.Report) ocelli.Worker {
	return ocelli.Worker{
		Name: w.Name, PID: w.PID, State: ocelli.WorkerState(w.State),
		Since: said.Since, Holding: said.Holding, Done: said.Done, Rate: said.Rate,
	}
}

// run answers requests on listener until ctx ends, and then lets those under way finish for a while.
func (n *node) run(ctx context.Context, listener net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	// Requests that would go on for long, like streams of events, end when the service has waited for them for a while.
	answering, enough := context.WithCancel(context.WithoutCancel(ctx))
	var answers sync.WaitGroup
	listening, deaf := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return n.tracker.Run(listening) })
	group.Go(func() error { return n.intake.Run(ctx) })
	group.Go(func() error { return n.webhooks.Run(ctx) })
	group.Go(func() error { return n.taking(ctx) })
	group.Go(func() error { return n.door.run(listening) })
	group.Go(func() error { return n.thumbs.Run(listening) })
	if n.keeper != nil { // it counts the queue each second in any case
		group.Go(func() error { return n.history.Run(ctx, n.status) })
	}
	group.Go(func() error { return n.janitor.Run(ctx) })
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answers.Add(1)
			defer answers.Done()
			n.handler.ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return answering },
		ConnState:         (&api.Connections{Most: mostConnections(), Count: roomForConnections()}).State,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving %s: %w", listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		defer deaf()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime/2)
		defer cancel()
		defer time.AfterFunc(graceTime, enough).Stop()
		err := server.Shutdown(ending)
		if err != nil { // somebody would wait longer than the service may
			err = server.Close()
		}
		enough()
		answers.Wait() // before the queue and the store are closed
		return err
	})
	return group.Wait()
}
