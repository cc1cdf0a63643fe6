package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kind is one way to break a service. inflict breaks it, waits and mends it, all within some seconds.
type kind struct {
	name    string
	inflict func(ctx context.Context, random *rand.Rand) error
}

// kinds are the ways in which this service can be broken.
func (s *service) kinds() []kind {
	kinds := []kind{
		{"worker killed", s.onWorker(syscall.SIGKILL)},
		{"worker frozen", s.onWorker(syscall.SIGSTOP)},
		{"clock jumps", s.jump},
		{"descriptors used up", s.starve},
		{"image that crashes its worker", s.ledger.poison},
		{"uploads torn off", s.ledger.tear},
	}
	for _, role := range []struct{ role, called string }{
		{"up", "whole service"}, {"serve", "web node"}, {"scale", "controller"}, {"broker", "broker"}, {"s3", "S3 server"},
	} {
		if p := s.processes[role.role]; p != nil {
			kinds = append(kinds, kind{role.called + " killed", s.kill(p)}, kind{role.called + " frozen", s.freeze(p.signal)})
		}
	}
	if s.disk != nil {
		kinds = append(kinds, kind{"disk full", s.fillDisk}, kind{"disk slow", s.slowDisk}, kind{"power cut", s.cutPower})
	}
	if s.network != nil {
		kinds = append(kinds, kind{"network cut", s.mended(s.network.unplug)}, kind{"network slow", s.mended(s.network.delay)})
	}
	if s.sqs != nil {
		kinds = append(kinds, s.sqs.kinds()...)
	}
	return kinds
}

// seconds is a time of so many seconds, by chance.
func seconds(random *rand.Rand, from, to float64) time.Duration {
	return time.Duration((from + random.Float64()*(to-from)) * float64(time.Second))
}

// kill ends a process with SIGKILL. Its keeper starts it again.
func (s *service) kill(p *process) func(context.Context, *rand.Rand) error {
	return func(context.Context, *rand.Rand) error { return p.signal(syscall.SIGKILL) }
}

// freeze stops a process for less or more than a lease, and lets it go on.
func (s *service) freeze(signal func(syscall.Signal) error) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, random *rand.Rand) error {
		if err := signal(syscall.SIGSTOP); err != nil {
			return err
		}
		wait(ctx, seconds(random, 0.5, 5))
		return signal(syscall.SIGCONT)
	}
}

// onWorker kills or freezes one worker.
func (s *service) onWorker(sig syscall.Signal) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, random *rand.Rand) error {
		pid, err := s.someWorker(random)
		if err != nil {
			return err
		}
		if sig == syscall.SIGKILL {
			return syscall.Kill(pid, sig)
		}
		err = s.freeze(func(sig syscall.Signal) error { return syscall.Kill(pid, sig) })(ctx, random)
		if errors.Is(err, syscall.ESRCH) {
			return nil // its controller has given it up and killed it meanwhile
		}
		return err
	}
}

func (s *service) someWorker(random *rand.Rand) (int, error) {
	var pids []int
	for _, role := range s.keepers {
		pids = append(pids, s.processes[role].workers()...)
	}
	if len(pids) == 0 {
		return 0, errNotThere
	}
	return pids[random.IntN(len(pids))], nil
}

// jump sets the clocks of all processes off by seconds, hours or a day, forwards or back, and after some time right again.
func (s *service) jump(ctx context.Context, random *rand.Rand) error {
	by := []time.Duration{10 * time.Second, 2 * time.Minute, time.Hour, 26 * time.Hour}[random.IntN(4)]
	if random.IntN(2) == 0 {
		by = -by
	}
	s.setClock(by)
	wait(ctx, seconds(random, 2, 5))
	s.setClock(0)
	return nil
}

// starve leaves a process, or a worker, hardly more file descriptors than it has open.
func (s *service) starve(ctx context.Context, random *rand.Rand) error {
	var pids []int
	for _, role := range []string{"up", "serve", "scale", "broker"} {
		if p := s.processes[role]; p != nil && p.pid() != 0 {
			pids = append(pids, p.pid())
		}
	}
	if worker, err := s.someWorker(random); err == nil {
		pids = append(pids, worker)
	}
	if len(pids) == 0 {
		return errNotThere
	}
	pid := pids[random.IntN(len(pids))]
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return errNotThere
	}
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return errNotThere
	}
	few := before
	few.Cur = uint64(len(open) + random.IntN(4))
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		return fmt.Errorf("bounding the descriptors of process %d: %w", pid, err)
	}
	wait(ctx, seconds(random, 2, 5))
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("giving process %d its descriptors back: %w", pid, err)
	}
	return nil
}

// mended breaks something for some seconds.
func (s *service) mended(inflict func() (mend func() error, err error)) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, random *rand.Rand) error {
		mend, err := inflict()
		if err != nil {
			return err
		}
		wait(ctx, seconds(random, 1, 6))
		return mend()
	}
}

func (s *service) fillDisk(ctx context.Context, random *rand.Rand) error {
	return s.mended(s.disk.fill)(ctx, random)
}

func (s *service) slowDisk(ctx context.Context, random *rand.Rand) error {
	slow, enough := context.WithTimeout(ctx, seconds(random, 3, 6))
	defer enough()
	return s.disk.slow(slow, seconds(random, 0.1, 0.5))
}

// cutPower loses what is not on the disk, and everything that runs.
func (s *service) cutPower(context.Context, *rand.Rand) error {
	p := s.processes["up"]
	p.hold(true)
	defer p.hold(false)
	if err := s.disk.cut(); err != nil {
		return err
	}
	workers := p.workers()
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, errNotThere) {
		return err
	}
	for _, pid := range workers {
		_ = syscall.Kill(pid, syscall.SIGKILL) // its parent's end kills it as well
	}
	if err := p.awaitGone(); err != nil {
		return err
	}
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = s.disk.unmount(); err == nil {
			return s.disk.mount()
		}
	}
	return err
}

func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
