package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/load"
)

// loadOptions are what `ocelli load` can be told.
type loadOptions struct {
	server      serverSettings
	connections int
	rate, ramp  string
	even        bool
	mix         string
	length      time.Duration
	requests    int64
	warmup      time.Duration
	timeout     time.Duration
	inFlight    int
	pictures    int
	size        string
	images      string
	seed        uint64
	asJSON      bool
}

func newLoadCommand() *cobra.Command {
	var o loadOptions
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Put a service under load and check every answer: benchmark and acceptance test of any deployment",
		Long: "Load sends images to a service and checks that each comes back once, with its own name, its own size and the labels that the\n" +
			"same picture always got. With --connections it is a closed loop: each connection sends its next request when it has the answer to\n" +
			"the last. With --rate or --ramp it is an open loop: requests come at that rate, by chance, and the time of each counts from the\n" +
			"moment at which it was due, so that a service that stalls cannot hide what had to wait.\n\n" +
			"The mix says what requests are made of: \"single\" is one image to /v1/classify, \"job10\" a job of ten to /v1/jobs, and the numbers\n" +
			"behind the colons say how often each comes. The exit code is 3 where an answer was wrong or is missing; a request that a full service\n" +
			"refuses with 429 is counted and is no wrong answer.",
		Example: "  ocelli load --connections 100 --count 100\n  ocelli load --rate 50/s --duration 1m --mix single:8,job10:1,job100:1\n" +
			"  ocelli load --ramp 10/s..200/s --duration 5m --images photos/ --json",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := o.load(cmd.Context())
			if err != nil {
				return err
			}
			return runLoad(cmd.Context(), l, o.asJSON, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.register(cmd.Flags())
	return cmd
}

func (o *loadOptions) register(f *pflag.FlagSet) {
	o.server.register(f)
	f.IntVar(&o.connections, "connections", 8, "connections of a closed loop")
	f.StringVar(&o.rate, "rate", "", "requests of an open loop, like 50/s or 600/min")
	f.StringVar(&o.ramp, "ramp", "", "rate of an open loop that changes from the beginning to the end, like 10/s..200/s")
	f.BoolVar(&o.even, "even", false, "space the requests of an open loop evenly, and not by chance")
	f.StringVar(&o.mix, "mix", "single", "kinds of requests and how often each comes, like single:8,job10:1,job100:1")
	f.DurationVar(&o.length, "duration", 0, "begin requests for so long (default 10s where there is no --count)")
	f.Int64Var(&o.requests, "count", 0, "begin so many requests")
	f.DurationVar(&o.warmup, "warmup", 0, "before that, send for so long without counting times")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "for one request, until all its results are there")
	f.IntVar(&o.inFlight, "in-flight", 2000, "requests of an open loop that may be under way at once")
	f.StringVar(&o.images, "images", "", "send the files in this `FOLDER`, up to 500, and not generated pictures")
	f.IntVar(&o.pictures, "pictures", 50, "different pictures to generate")
	f.StringVar(&o.size, "size", "480x360", "pixels of generated pictures")
	f.Uint64Var(&o.seed, "seed", 1, "the same seed sends the same")
	f.BoolVar(&o.asJSON, "json", false, "print the report as one JSON object")
}

// load makes the run that the options ask for.
func (o *loadOptions) load(ctx context.Context) (*load.Load, error) {
	if o.length == 0 && o.requests == 0 {
		o.length = 10 * time.Second
	}
	mix, mixErr := load.ParseMix(o.mix)
	rate, rateErr := o.parseRate()
	var width, height int
	_, sizeErr := fmt.Sscanf(o.size, "%dx%d", &width, &height)
	if sizeErr != nil {
		sizeErr = fmt.Errorf("--size=%s is not possible: write it like 480x360", o.size)
	}
	var errs []error
	for _, err := range []error{mixErr, rateErr, sizeErr, o.problem()} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := asUsage(errs); err != nil {
		return nil, err
	}
	most := o.connections
	if rate != nil {
		most = o.inFlight
	}
	c, err := o.server.client(client.WithTransport(&http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConns: most + 1, MaxIdleConnsPerHost: most + 1, DisableCompression: true, IdleConnTimeout: time.Minute,
	}))
	if err != nil {
		return nil, err
	}
	pool, err := o.pool(ctx, width, height)
	if err != nil {
		return nil, err
	}
	return &load.Load{
		Client: c, Pool: pool, Mix: mix, Connections: o.connections, Rate: rate, InFlight: o.inFlight,
		Length: o.length, Requests: o.requests, Warmup: o.warmup, Timeout: o.timeout, Seed: o.seed,
	}, nil
}

func (o *loadOptions) pool(ctx context.Context, width, height int) ([]*load.Picture, error) {
	if o.images != "" {
		return load.ReadFolder(ctx, o.images)
	}
	return load.Generate(ctx, o.pictures, width, height, o.seed)
}

// parseRate returns nil for a closed loop.
func (o *loadOptions) parseRate() (*load.Rate, error) {
	text := o.rate
	switch {
	case o.rate != "" && o.ramp != "":
		return nil, errors.New("--rate and --ramp are two different rates: give one of them")
	case o.ramp != "":
		if text = o.ramp; o.length == 0 {
			return nil, errors.New("--ramp needs --duration, over which the rate changes")
		}
	case o.rate == "":
		return nil, nil
	}
	rate, err := load.ParseRate(text)
	rate.Even = o.even
	return &rate, err
}

func (o *loadOptions) problem() error {
	switch {
	case o.connections < 1 || o.connections > 20_000:
		return fmt.Errorf("--connections=%d is not possible: give 1 to 20000", o.connections)
	case o.inFlight < 1 || o.inFlight > 20_000:
		return fmt.Errorf("--in-flight=%d is not possible: give 1 to 20000", o.inFlight)
	case o.length < 0 || o.requests < 0 || o.warmup < 0:
		return errors.New("--duration, --count and --warmup cannot be less than nothing")
	case o.timeout <= 0:
		return fmt.Errorf("--timeout=%s is not possible: give a duration like 2m", o.timeout)
	}
	return nil
}

// runLoad runs l, shows on a terminal how it goes, and prints the report.
func runLoad(ctx context.Context, l *load.Load, asJSON bool, out, errs io.Writer) error {
	live := showLine(errs, l.Line)
	report := l.Run(ctx)
	live.stop()
	var err error
	if asJSON {
		err = json.NewEncoder(out).Encode(report)
	} else {
		err = report.Print(out)
	}
	switch {
	case err != nil:
		return err
	case !report.Good():
		fmt.Fprintf(errs, "ocelli: %d wrong answers, %d requests failed\n", report.Wrong, report.Failed)
		return errSomeFailed
	case report.Stopped:
		return context.Cause(ctx)
	case report.Requests == report.Refused:
		return errors.New("the service refused every request: it is full; try again later, or with a lower rate")
	}
	return nil
}
