package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/sim"
)

// simFlags are the flags of ocelli sim, as they are written.
type simFlags struct {
	shape, policy, rate, price, mean, plot string
	workers                                int
	startup, length, slo, billAtLeast      time.Duration
	worth, jitter                          float64
	seed                                   uint64
	asJSON                                 bool
}

func newSimCommand() *cobra.Command {
	var f simFlags
	cmd := &cobra.Command{
		Use:   "sim [TRACE]",
		Short: "Run a load through the real scaling rule and its rivals, in virtual time",
		Long: "Sim shows what the scaling rule of this service, and those of other systems, make of a load: how long images take, how\n" +
			"many workers it needs and what they cost. Nothing is started: a day takes a second. TRACE is a decision log of\n" +
			"this service (`ocelli why --json`) or an Azure Functions trace of 2021; without one a --shape is made up.\n\n" +
			"Shapes: " + strings.Join(sim.Shapes, ", ") + ".\nPolicies: " + strings.Join(sim.Policies, ", ") + ".",
		Example: "  ocelli sim --shape reference --rate 0.082/s\n" +
			"  ocelli sim decisions.ndjson --workers 8 --plot lastweek.html\n" +
			"  ocelli sim --shape diurnal --mean 100000/s --workers 10000",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && cmd.Flags().Changed("shape") {
				return usageError{errors.New("name one trace, or a --shape: ocelli sim TRACE")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, mean, err := f.config()
			if err != nil {
				return usageError{err}
			}
			load, err := f.load(c, mean, args)
			if err != nil {
				return err
			}
			policies, err := f.policies()
			if err != nil {
				return usageError{err}
			}
			return f.simulate(cmd.Context(), c, load, policies, cmd.OutOrStdout())
		},
	}
	usual := scale.Cloud(19)
	fl := cmd.Flags()
	fl.StringVar(&f.shape, "shape", "reference", "`FORM` of the load: "+strings.Join(sim.Shapes, ", "))
	fl.StringVar(&f.policy, "policy", "all", "`NAMES` of policies with commas between them, or all")
	fl.IntVar(&f.workers, "workers", usual.Max, "workers at most")
	fl.DurationVar(&f.startup, "startup", time.Duration(usual.Startup*float64(time.Second)), "`TIME` from asking for a worker to its first image")
	fl.StringVar(&f.rate, "rate", "20/s", "images that one worker does, as `N/s`, N/min or N/h")
	fl.StringVar(&f.price, "price", "0.0425/h", "US dollars for one worker, as `USD/h`; 0 is one's own machine, where waiting weighs more")
	fl.DurationVar(&f.billAtLeast, "bill-at-least", time.Duration(usual.BillAtLeast*float64(time.Second)), "`TIME` that is billed for each worker at least")
	fl.StringVar(&f.mean, "mean", "", "images that arrive on average, as `N/s`; a shape has its own otherwise")
	fl.DurationVar(&f.length, "length", 0, "`TIME` that the shape takes; it has its own otherwise")
	fl.DurationVar(&f.slo, "slo", time.Minute, "`TIME` in which an image should be done")
	fl.Float64Var(&f.worth, "wait-worth", 0, "worker-`SECONDS` that a second of one image's waiting is worth (0: 0.3, and 10 where workers cost nothing)")
	fl.Float64Var(&f.jitter, "jitter", 0, "`SHARE` by which start-up and service times vary: 0.1 is ±10 %")
	fl.Uint64Var(&f.seed, "seed", 1, "`NUMBER` that fixes all chance")
	fl.StringVar(&f.plot, "plot", "", "write an HTML page with workers and backlog over time to `FILE`")
	fl.BoolVar(&f.asJSON, "json", false, "print one line of JSON for each policy")
	return cmd
}

func (f simFlags) policies() ([]string, error) {
	if f.policy == "all" {
		return sim.Policies, nil
	}
	names := strings.Split(strings.ReplaceAll(f.policy, " ", ""), ",")
	for _, name := range names {
		if !slices.Contains(sim.Policies, name) {
			return nil, fmt.Errorf("--policy=%s: there is no policy %q: choose all, or some of %s", f.policy, name, strings.Join(sim.Policies, ","))
		}
	}
	return names, nil
}

// config reads the flags that describe the world, and the mean rate of arrivals.
func (f simFlags) config() (c sim.Config, mean float64, err error) {
	c = sim.Config{Max: f.workers, Startup: f.startup.Seconds(), BillUnit: 1, BillAtLeast: f.billAtLeast.Seconds(),
		SLO: f.slo.Seconds(), WaitWorth: f.worth, Jitter: f.jitter, Seed: f.seed}
	if c.Rate, err = perSecond("rate", f.rate, "s"); err != nil {
		return c, 0, err
	}
	price, err := perSecond("price", f.price, "h")
	if err != nil {
		return c, 0, err
	}
	if c.Price = price * 3600; c.Price == 0 {
		c.BillUnit, c.BillAtLeast = 0, 0
	}
	if f.mean != "" {
		if mean, err = perSecond("mean", f.mean, "s"); err != nil {
			return c, 0, err
		}
	}
	if f.length < 0 || f.length > 366*24*time.Hour {
		return c, 0, fmt.Errorf("--length=%s is not possible: give up to a year", f.length)
	}
	return c, mean, c.Validate()
}

// perSecond reads a number with or without a unit of time: 20/s, 5/min, 0.04/h.
func perSecond(flag, text, unit string) (float64, error) {
	number := text
	if n, u, found := strings.Cut(text, "/"); found {
		number, unit = n, u
	}
	seconds := map[string]float64{"s": 1, "min": 60, "h": 3600, "d": 86400}[unit]
	x, err := strconv.ParseFloat(number, 64)
	if err != nil || !(x >= 0) || x > 1e12 || seconds == 0 {
		return 0, fmt.Errorf("--%s=%s is not a number per time: write it like 20/s, 5/min or 0.0425/h", flag, text)
	}
	return x / seconds, nil
}

// load opens the trace, or makes the shape.
func (f simFlags) load(c sim.Config, mean float64, args []string) (sim.Load, error) {
	if len(args) == 0 {
		load, err := sim.Shape(f.shape, c, mean, f.length.Seconds())
		if err != nil {
			return load, usageError{err}
		}
		return load, nil
	}
	file, err := os.Open(args[0])
	if err != nil {
		return sim.Load{}, fmt.Errorf("the trace cannot be read: %w", err)
	}
	defer file.Close()
	return sim.ReadTrace(args[0], file)
}

// simulate runs the policies one after the other and shows what became of the load.
func (f simFlags) simulate(ctx context.Context, c sim.Config, load sim.Load, policies []string, out io.Writer) error {
	var results []sim.Result
	for _, name := range policies {
		r, err := sim.Run(ctx, c, load, name)
		if err != nil {
			return fmt.Errorf("simulating %s: %w", load.Name, err)
		}
		results = append(results, r)
		if f.asJSON {
			if err := json.NewEncoder(out).Encode(r); err != nil {
				return err
			}
		}
	}
	if !f.asJSON {
		if err := simTable(out, load, c, results); err != nil {
			return err
		}
	}
	if f.plot == "" {
		return nil
	}
	return writePlot(f.plot, load, c, results)
}

func simTable(out io.Writer, load sim.Load, c sim.Config, results []sim.Result) error {
	fmt.Fprintf(out, "%s: %d images; at most %d workers of %.3g images/s, %.3g s to start, $%.4g an hour; seed %d\n\n",
		load.Name, results[0].Images, c.Max, c.Rate, c.Startup, c.Price, c.Seed)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "policy\tp50 s\tp95 s\tp99 s\tin %.3g s\tidle\tworker-s\t$/million\tchanges\tmost\tlost\tlast at s\t\n", c.SLO)
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.1f%%\t%.0f%%\t%.0f\t%.3f\t%d\t%d\t%d\t%.1f\t\n", r.Policy, r.P50, r.P95, r.P99, 100*r.SLO,
			100*r.OverProvisioning, r.WorkerSeconds, r.USDPerMillion, r.Actions, r.Peak, r.Lost, r.Finish)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if r.Why != "" {
			fmt.Fprintf(out, "\n%s, when it wanted most workers: %s\n", r.Policy, r.Why)
		}
	}
	if !results[0].Exact {
		fmt.Fprintf(out, "\nSo many images were taken in cohorts of up to a second: queues that chance alone makes are left out.\n")
	}
	return nil
}

func writePlot(path string, load sim.Load, c sim.Config, results []sim.Result) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("the plot cannot be written: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return sim.Plot(file, load, c, results)
}
