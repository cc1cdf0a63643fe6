package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/ortlib"
)

func newScaleCommand() *cobra.Command {
	var shared sharedSettings
	var scaling scalingSettings
	var worker workerSettings
	var at urls
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Keep as many workers on this machine as the backlog of a queue is worth",
		Long: "Scale starts and ends workers on this machine, for web nodes that run elsewhere (`ocelli serve`). Of several that are\n" +
			"given the same queue one has workers; when it is gone, another takes over within 10 seconds.",
		Example: "  ocelli scale --queue nats://10.0.0.5:4222 --blobs file:///srv/ocelli --max-workers 8",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			problems := append(append(shared.problems(), scaling.problems()...), append(worker.problems(), at.problems()...)...)
			if err := asUsage(problems); err != nil {
				return err
			}
			return runScale(cmd.Context(), shared, scaling, worker, at, newLogger(cmd.ErrOrStderr(), shared.logLevel))
		},
	}
	shared.register(cmd.Flags())
	scaling.register(cmd.Flags())
	worker.register(cmd.Flags())
	at.register(cmd.Flags())
	return cmd
}

// runScale keeps workers for a queue and a store that are elsewhere, whenever this process leads, until ctx ends.
func runScale(ctx context.Context, shared sharedSettings, scaling scalingSettings, worker workerSettings, at urls, log *slog.Logger) error {
	limitMemory(nodeMemory)
	if _, err := identify(worker.modelSettings); err != nil {
		return err
	}
	if _, err := ortlib.Find(""); err != nil {
		return err // no worker could start
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("finding the name of this machine: %w", err)
	}
	holder := fmt.Sprintf("%s %d", host, os.Getpid())
	b, err := openBackends(ctx, at, shared.lease, "scale "+holder, log)
	if err != nil {
		return err
	}
	defer b.close()
	leadership, err := b.leadership(ctx, holder, log)
	if err != nil {
		return err
	}
	launcher, err := newProcessLauncher(shared, worker, at)
	if err != nil {
		return err
	}
	return newController(leadership, scaling, launcher, b, log).run(ctx)
}
