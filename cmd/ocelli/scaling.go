package main

import (
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/scale"
)

// scalingSettings say how many workers there may be, and when.
type scalingSettings struct {
	minWorkers      int
	maxWorkers      int
	policy          string
	imagesPerWorker int
	workerIdle      time.Duration
}

func (s *scalingSettings) register(f *pflag.FlagSet) {
	f.IntVar(&s.minWorkers, "min-workers", 0, "workers kept even when there is no work")
	f.IntVar(&s.maxWorkers, "max-workers", runtime.NumCPU(), "workers at most")
	f.StringVar(&s.policy, "policy", scale.Breakeven, "scaling policy: "+scale.Breakeven+" or "+scale.Backlog)
	f.IntVar(&s.imagesPerWorker, "images-per-worker", 5, "images per worker, for the policy "+scale.Backlog)
	f.DurationVar(&s.workerIdle, "worker-idle", 10*time.Second, "how long fewer workers must have been enough before one is ended")
}

func (s *scalingSettings) problems() []error { return []error{s.local().Validate()} }

// local is the policy that the settings ask for, of workers that are processes of this machine.
func (s *scalingSettings) local() scale.Policy {
	p := scale.Local(s.maxWorkers)
	p.Name, p.Min, p.ImagesPerWorker = s.policy, s.minWorkers, s.imagesPerWorker
	p.Hold = s.workerIdle.Seconds()
	return p
}
