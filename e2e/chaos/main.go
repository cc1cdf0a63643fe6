// Command chaos runs the real binary under load for a set time, breaks things from a seeded schedule, and checks afterwards that every
// accepted image has exactly one result, its own. `make chaos DURATION=15m SEED=7` is how it is called.
//
// It runs several services side by side: `up`, everything on one machine, on a file system of its own; `fleet`, one process a
// role, with a NATS server in another network namespace; and `cloud`, the same roles on an S3 and an SQS server, where those are installed.
// Each has its own load, its own schedule and its own checker. What the machine does not allow, mostly because it asks for root, is left
// out and said so.
//
// The program under test is that of cmd/ocelli with two additions at build time, so that it can be broken from outside: the build tag
// planted, by which an image can tell its worker to crash, and a clock of package time to which an offset in a shared file is added.
//
// Read in this order: main, schedule, faults, load, check.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	duration time.Duration
	seed     uint64
	services string // which to run, by name, or "" for all that can
	keep     string // folder to work in, which is kept
	bin      string // folder of the programs under test; "" builds them
	every    time.Duration
	kinds    string // of faults, by name, or "" for all
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", time.Minute, "how long things are broken")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "the same seed makes the same schedule")
	flag.DurationVar(&o.every, "every", 4*time.Second, "time from one fault of a service to its next, on average")
	flag.StringVar(&o.services, "services", "", "services to run, like up,fleet (default: all that this machine can run)")
	flag.StringVar(&o.kinds, "kinds", "", "kinds of faults, like 'disk full,power cut' (default: all)")
	flag.StringVar(&o.keep, "keep", "", "work in this `FOLDER` and keep it")
	flag.StringVar(&o.bin, "bin", "", "use the programs in this `FOLDER` (default: build them)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// errWrong ends a run whose report says what went wrong.
var errWrong = errors.New("images were lost or mixed up: the report above tells after which faults")

func run(ctx context.Context, o options, out io.Writer) error {
	if inside() {
		return rage(ctx, o, out)
	}
	dir := o.keep
	if dir == "" {
		made, err := os.MkdirTemp("", "ocelli-chaos-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		dir = made
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	o.keep = dir
	if o.bin == "" {
		o.bin = filepath.Join(dir, "bin")
		fmt.Fprintln(out, "building the programs under test")
		if err := build(ctx, o.bin); err != nil {
			return err
		}
	}
	// Mounts and network interfaces are made in namespaces of this program's own, and are gone with its last process.
	if os.Geteuid() == 0 {
		return enter(ctx, o, out)
	}
	fmt.Fprintln(out, "without root there is no disk, no network and no namespace to break: those faults are left out")
	return rage(ctx, o, out)
}

// rage runs the services, breaks them for the set time, lets them recover, and reports.
func rage(ctx context.Context, o options, out io.Writer) (err error) {
	m := look(out)
	began := time.Now()
	services, err := raise(ctx, o, m, out)
	defer func() {
		for _, s := range services {
			s.end()
		}
	}()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d services are up after %v; seed %d, %v\n", len(services), time.Since(began).Round(time.Second), o.seed, o.duration)
	done := make(chan error, len(services))
	for _, s := range services {
		go func() { done <- s.suffer(ctx, o, out) }()
	}
	var errs []error
	for range services {
		errs = append(errs, <-done)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return report(services, m, out)
}
