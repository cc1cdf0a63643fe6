package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/scale"
)

// scalingSettings say how many workers there may be, and when.
type scalingSettings struct {
	minWorkers      int
	maxWorkers      int
	rule            string
	imagesPerWorker int
	workerIdle      time.Duration
}

func (s *scalingSettings) register(f *pflag.FlagSet) {
	f.IntVar(&s.minWorkers, "min-workers", 0, "workers kept even when there is no work")
	f.IntVar(&s.maxWorkers, "max-workers", 0, "workers at most; 0 is as many as keep the processors of this machine busy,\n"+
		"each with --concurrency of them, and 19 on EC2")
	f.StringVar(&s.rule, "policy", scale.Breakeven, "scaling policy: "+scale.Breakeven+" or "+scale.Backlog)
	f.IntVar(&s.imagesPerWorker, "images-per-worker", 5, "images per worker, for the policy "+scale.Backlog)
	f.DurationVar(&s.workerIdle, "worker-idle", 10*time.Second, "how long fewer workers must have been enough before one is ended")
}

func (s *scalingSettings) problems() []error {
	if s.maxWorkers < 0 {
		return []error{fmt.Errorf("--max-workers=%d is not possible: give 0 or more", s.maxWorkers)}
	}
	return []error{s.policy(scale.Local(max(1, s.minWorkers))).Validate()}
}

// localWorkers is how many workers of this machine still add speed: as many as keep its processors busy. A process more costs more than it
// gains, since each wakes up for itself.
func localWorkers(concurrency int) int {
	return (runtime.NumCPU() + concurrency - 1) / concurrency
}

// policy is the one that the settings ask for, where usual is that of the workers' kind.
func (s *scalingSettings) policy(usual scale.Policy) scale.Policy {
	p := usual
	p.Max = max(p.Max, s.minWorkers)
	if s.maxWorkers > 0 {
		p.Max = s.maxWorkers
	}
	p.Name, p.Min, p.ImagesPerWorker = s.rule, s.minWorkers, s.imagesPerWorker
	p.Hold = s.workerIdle.Seconds()
	return p
}
