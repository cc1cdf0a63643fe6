package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/procfleet"
	"github.com/ocelli/ocelli/internal/scale"
)

// controller keeps as many workers on this machine as the backlog is worth, while it leads.
type controller struct {
	leadership scale.Leadership
	launcher   *procfleet.Launcher
	roster     *fleet.Roster
	crew       *fleet.Crew
	loop       *scale.Loop
	maxWorkers int
}

func newController(leadership scale.Leadership, s scalingSettings, launcher *procfleet.Launcher, b *backends, log *slog.Logger) *controller {
	roster := fleet.NewRoster(b.bus)
	crew := fleet.NewCrew(launcher, roster, log, fleet.CrewConfig{Max: s.maxWorkers, Exits: launcher.Exits()})
	return &controller{
		leadership: leadership, launcher: launcher, roster: roster, crew: crew,
		loop:       scale.NewLoop(s.local(), b.queue, crew, b.journal.Record, log),
		maxWorkers: s.maxWorkers,
	}
}

// run keeps workers until ctx ends, then lets them finish what they hold.
func (c *controller) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	hands, letGo := context.WithCancel(context.WithoutCancel(ctx))
	defer letGo()
	group.Go(func() error { return c.launcher.Run(hands) })
	group.Go(func() error { return c.roster.Run(hands) })
	group.Go(func() error {
		defer letGo()
		return c.leadership.Lead(ctx, c.keep)
	})
	return group.Wait()
}

// keep keeps workers while this process leads. It leaves none behind: nobody else could end them.
func (c *controller) keep(ctx context.Context) error {
	err := c.loop.Run(ctx)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	return errors.Join(err, c.crew.End(ending))
}

// newProcessLauncher launches this very binary as workers, with env added to the environment of this process.
func newProcessLauncher(shared sharedSettings, worker workerSettings, at urls, env ...string) (*procfleet.Launcher, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program to start workers with: %w", err)
	}
	return procfleet.New(procfleet.Config{
		Command: append([]string{self}, workerArgs(shared, worker, at)...),
		Env:     env,
		Output:  os.Stderr,
		Grace:   shutdownTime,
	})
}
