package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/procfleet"
	"github.com/ocelli/ocelli/internal/ortlib"
	"github.com/ocelli/ocelli/internal/scale"
)

// fleetSettings say where workers are to run.
type fleetSettings struct{ url string }

func (s *fleetSettings) register(f *pflag.FlagSet) {
	f.StringVar(&s.url, "fleet", "", "where workers run: local, on this machine, or the `URL` of a fleet: "+ec2Form)
}

func (s *fleetSettings) problems() []error {
	if s.local() {
		return nil
	}
	u, err := parseFleet(s.url)
	if err == nil {
		_, err = parseEC2(u)
	}
	return []error{err}
}

func (s *fleetSettings) local() bool { return s.url == "" || s.url == "local" }

// hands are where a controller's workers come from, and what is peculiar to them.
type hands struct {
	launcher fleet.Launcher
	run      func(context.Context) error // what must run for the launcher to work; nil is nothing
	crew     fleet.CrewConfig
	policy   scale.Policy
	changed  func() scale.Policy // what the policy is now that it may have been changed; nil until there is a controller
	stay     bool                // workers outlive their controller, and end themselves when nobody needs them
}

// now is the policy as it is.
func (h *hands) now() scale.Policy {
	if h.changed == nil {
		return h.policy
	}
	return h.changed()
}

// openFleet is the one place that turns the URL of a fleet into a driver.
func openFleet(ctx context.Context, where fleetSettings, shared sharedSettings, scaling scalingSettings, worker workerSettings, at urls, b *backends, log *slog.Logger) (*hands, error) {
	if where.local() {
		var err error
		if _, worker.only, err = identify(worker.modelSettings); err != nil {
			return nil, err
		}
		return openLocalFleet(shared, scaling, worker, at)
	}
	u, err := parseFleet(where.url)
	if err != nil {
		return nil, err
	}
	return openEC2(ctx, u, shared, scaling, worker, at, b, log)
}

func parseFleet(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "ec2" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--fleet=%s is not a fleet that is known here: write local, or %s", text, ec2Form)
	}
	return u, nil
}

// openLocalFleet launches this very binary as workers, with env added to the environment of this process.
func openLocalFleet(shared sharedSettings, scaling scalingSettings, worker workerSettings, at urls, env ...string) (*hands, error) {
	if _, err := ortlib.Find(""); err != nil {
		return nil, err // no worker could start
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program to start workers with: %w", err)
	}
	launcher, err := procfleet.New(procfleet.Config{
		Command: append([]string{self}, workerArgs(shared, worker, at)...),
		Env:     env,
		Output:  os.Stderr,
		Grace:   shutdownTime,
	})
	if err != nil {
		return nil, err
	}
	policy := scaling.policy(scale.Local(localWorkers(worker.concurrency)))
	return &hands{
		launcher: launcher, run: launcher.Run, policy: policy,
		crew: fleet.CrewConfig{Max: policy.Max, Exits: launcher.Exits()},
	}, nil
}
