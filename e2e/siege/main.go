// Command siege asks more of a service than it can give, and looks at what the service does about it.
//
//	siege crowd   10,000 connections that are idle and 1,000 that upload by the byte, among which 100 good clients must see no error
//	siege soak    twice the capacity for ten minutes: memory and file descriptors stay flat, jobs are refused with 429 and a time to come
//	              again and with nothing worse, times told come true, and one modest client gets its share beside the flood
//
// `make crowd` and `make soak DURATION=10m` call it. The exit code is 1 where a promise was broken.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "siege:", err)
		os.Exit(1)
	}
}

// errBroken ends a run whose output tells which promise was broken.
var errBroken = errors.New("a promise was broken: see above")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: siege crowd, or siege soak")
	}
	flags := flag.NewFlagSet("siege "+args[0], flag.ContinueOnError)
	program := flags.String("ocelli", "bin/ocelli", "`FILE` of the program under test")
	duration := flags.Duration("duration", 30*time.Second, "how long it goes on")
	var c crowd
	flags.IntVar(&c.idle, "idle", 10_000, "crowd: connections that have nothing to say")
	flags.IntVar(&c.slow, "slow", 1_000, "crowd: uploads that trickle")
	flags.IntVar(&c.good, "good", 100, "crowd: clients that send and wait, all the time")
	plot := flags.String("plot", "", "soak: write an SVG picture of memory, descriptors and backlog to this `FILE`")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "crowd":
		return c.run(ctx, *program, *duration, os.Stdout)
	case "soak":
		return soak(ctx, *program, *duration, *plot, os.Stdout)
	}
	return fmt.Errorf("there is no %q: siege crowd, or siege soak", args[0])
}
