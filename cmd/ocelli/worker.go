package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet"
	"github.com/ocelli/ocelli/internal/fleet/procfleet"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/sandbox"
	"github.com/ocelli/ocelli/internal/work"
)

// workerSettings are what a worker can be told, beyond what all parts of a service share.
type workerSettings struct {
	modelSettings
	concurrency int
	maxAttempts int
	imageTime   time.Duration
	memory      size // see confine
	sandbox     string
}

// endSettings are when a worker ends that nobody tells to.
type endSettings struct {
	idle time.Duration
	spot bool
}

func (s *endSettings) register(f *pflag.FlagSet) {
	f.DurationVar(&s.idle, "end-when-idle", 0, "end after so long without an image; 0 is never")
	f.BoolVar(&s.spot, "spot", false, "drain when EC2 announces that it takes this spot instance back")
}

func (s *endSettings) problems() []error {
	if s.idle < 0 || s.idle > 0 && s.idle < time.Second {
		return []error{fmt.Errorf("--end-when-idle=%s is not possible: give 1s or more, or 0", s.idle)}
	}
	return nil
}

// watch returns a context that ends with ctx, and when the worker is to drain by itself.
func (s *endSettings) watch(ctx context.Context, reporter *fleet.Reporter, log *slog.Logger) (context.Context, context.CancelFunc, error) {
	stopNotice := func() {}
	if s.spot {
		var err error
		if ctx, stopNotice, err = ec2fleet.WatchNotice(ctx, log); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	if s.idle > 0 {
		go func() {
			for tick := time.Tick(min(time.Second, s.idle)); ; {
				select {
				case <-ctx.Done():
					return
				case <-tick:
				}
				if r := reporter.Report(); r.State == fleet.Idle && time.Since(r.Since) >= s.idle {
					log.Info("no image came for long: this worker ends", "idle", s.idle)
					cancel()
				}
			}
		}()
	}
	return ctx, func() { cancel(); stopNotice() }, nil
}

func (s *workerSettings) register(f *pflag.FlagSet) {
	s.modelSettings.register(f)
	f.IntVar(&s.concurrency, "concurrency", 2, "images that one worker has in hand at once")
	f.IntVar(&s.maxAttempts, "max-attempts", 5, "attempts after which an image is given up")
	f.DurationVar(&s.imageTime, "image-time", 30*time.Second, "time for one image, decoding and inference together")
	s.memory = leastMemory
	f.Var(&s.memory, "worker-memory", "memory that a confined worker may take beside its model, for all its images at once")
	f.StringVar(&s.sandbox, "sandbox", sandbox.Auto, "confine workers: auto, as far as the system can; require, or do not start; off")
}

func (s *workerSettings) problems() []error {
	var errs []error
	if s.concurrency < 1 || s.concurrency > 64 {
		errs = append(errs, fmt.Errorf("--concurrency=%d is not possible: give 1 to 64", s.concurrency))
	}
	if s.maxAttempts < 2 || s.maxAttempts > 100 {
		errs = append(errs, fmt.Errorf("--max-attempts=%d is not possible: give 2 to 100, since an image beside one that crashes its worker needs a second", s.maxAttempts))
	}
	if s.imageTime < time.Second || s.imageTime > time.Hour {
		errs = append(errs, fmt.Errorf("--image-time=%s is not possible: give 1s to 1h", s.imageTime))
	}
	if s.memory < leastMemory {
		errs = append(errs, fmt.Errorf("--worker-memory=%s is not possible: give 1GB or more", &s.memory))
	}
	if err := sandbox.CheckMode(s.sandbox); err != nil {
		errs = append(errs, fmt.Errorf("--sandbox: %w", err))
	}
	return errs
}

// workerArgs are the arguments with which this binary runs as a worker with these settings.
func workerArgs(shared sharedSettings, s workerSettings, at urls) []string {
	args := []string{
		"worker", "--queue=" + at.queue, "--blobs=" + at.blobs,
		"--lease=" + shared.lease.String(), "--max-image=" + shared.maxImage.String(), "--log-level=" + shared.logLevel, "--log-format=" + shared.logFormat,
		fmt.Sprintf("--concurrency=%d", s.concurrency), fmt.Sprintf("--max-attempts=%d", s.maxAttempts),
		"--image-time=" + s.imageTime.String(), "--sandbox=" + s.sandbox, "--worker-memory=" + s.memory.String(),
	}
	if s.model != "" {
		args = append(args, "--model="+s.model)
	}
	if s.card != "" {
		args = append(args, "--card="+s.card)
	}
	if s.only != "" {
		args = append(args, "--only-model="+s.only)
	}
	return args
}

func newWorkerCommand() *cobra.Command {
	var shared sharedSettings
	var s workerSettings
	var end endSettings
	var at urls
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run one worker: take images from a queue, classify them, save the results",
		Long: "Worker takes images from a queue until it is told to stop. On SIGTERM it finishes what it holds and ends.\n" +
			"`ocelli up` starts workers by itself; this command is for other machines.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asUsage(append(append(shared.problems(), s.problems()...), append(end.problems(), at.problems()...)...)); err != nil {
				return err
			}
			return runWorker(cmd.Context(), shared, s, end, at, shared.logger(cmd.ErrOrStderr()))
		},
	}
	shared.register(cmd.Flags())
	s.register(cmd.Flags())
	end.register(cmd.Flags())
	at.register(cmd.Flags())
	cmd.Flags().StringVar(&s.only, "only-model", "", "run no other model than the one with this fingerprint")
	_ = cmd.Flags().MarkHidden("only-model") // for who starts workers beside others
	return cmd
}

// runWorker works until ctx ends or the parent process is gone, then finishes what it holds.
func runWorker(ctx context.Context, shared sharedSettings, s workerSettings, end endSettings, at urls, log *slog.Logger) error {
	tune(workerMemory)
	collectSeldom()
	computeAsBatch()
	name := cmp.Or(os.Getenv(fleet.NameEnv), fmt.Sprintf("worker-%d", os.Getpid()))
	drain, stopWatching, err := procfleet.WatchParent(ctx)
	if err != nil {
		return err
	}
	defer stopWatching()
	b, err := openBackends(ctx, at, shared.lease, name, log)
	if err != nil {
		return err
	}
	defer b.close()

	tracer, closeTracer, err := openTracer(ctx, name, log)
	if err != nil {
		return err
	}
	defer closeTracer()
	reporter := fleet.NewReporter(b.bus, log, name, ocelli.Version())
	drain, stopEnding, err := end.watch(drain, reporter, log)
	if err != nil {
		return err
	}
	defer stopEnding()
	working, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	group, working := errgroup.WithContext(working)
	group.Go(func() error { return reporter.Run(working) })
	group.Go(func() error {
		defer done()
		classifier, err := openClassifier(s.modelSettings, classify.DefaultTop, log)
		if err != nil {
			return err
		}
		defer classifier.Close()
		if err := confine(s, at, end.spot, log); err != nil {
			return err
		}
		reporter.Ready(classifier.Model())
		defer context.AfterFunc(drain, reporter.Drain)()
		w := &work.Worker{
			Config: work.Config{
				Name: name, Concurrency: s.concurrency, Lease: shared.lease, LeaseWait: time.Second,
				MaxAttempts: s.maxAttempts, MaxBytes: int64(shared.maxImage), ImageTime: s.imageTime,
			},
			Queue: b.queue, Blobs: b.blobs, Results: &result.Store{Blobs: b.blobs, Bus: b.bus},
			Decoder: newDecoder(), Classifier: classifier, Reporter: reporter, Log: log, Tracer: tracer,
			Stuck: func() { os.Exit(exitFailed) },
		}
		return w.Run(working, drain.Done())
	})
	return group.Wait()
}
