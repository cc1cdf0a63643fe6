package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/scale"
)

func newScaleCommand() *cobra.Command {
	var shared sharedSettings
	var scaling scalingSettings
	var worker workerSettings
	var at urls
	var where fleetSettings
	cmd := &cobra.Command{
		Use:   "scale",
		Short: "Keep as many workers as the backlog of a queue is worth, on this machine or on EC2",
		Long: "Scale starts and ends workers, on this machine or where --fleet says, for web nodes that run elsewhere (`ocelli serve`).\n" +
			"Of several that are given the same queue one has workers; when it is gone, another takes over within 10 seconds.",
		Example: "  ocelli scale --queue nats://10.0.0.5:4222 --blobs file:///srv/ocelli --max-workers 8\n" +
			"  ocelli scale --queue sqs://ocelli --blobs s3://my-bucket --fleet 'ec2://ocelli?template=ocelli-worker&spot=true'",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			problems := append(append(shared.problems(), scaling.problems()...), append(append(worker.problems(), at.problems()...), where.problems()...)...)
			if err := asUsage(problems); err != nil {
				return err
			}
			return runScale(cmd.Context(), shared, scaling, worker, at, where, shared.logger(cmd.ErrOrStderr()))
		},
	}
	shared.register(cmd.Flags())
	scaling.register(cmd.Flags())
	worker.register(cmd.Flags())
	at.register(cmd.Flags())
	where.register(cmd.Flags())
	return cmd
}

// runScale keeps workers for a queue and a store that are elsewhere, whenever this process leads, until ctx ends.
func runScale(ctx context.Context, shared sharedSettings, scaling scalingSettings, worker workerSettings, at urls, where fleetSettings, log *slog.Logger) error {
	tune(nodeMemory)
	holder, err := holderName()
	if err != nil {
		return err
	}
	b, err := openBackends(ctx, at, shared.lease, "scale "+holder, log)
	if err != nil {
		return err
	}
	defer b.close()
	c, err := openController(ctx, holder, shared, scaling, worker, at, where, b, log)
	if err != nil {
		return err
	}
	return c.run(ctx)
}

// openController returns a controller of the workers of a fleet, which waits for its turn among those of the queue.
func openController(ctx context.Context, holder string, shared sharedSettings, scaling scalingSettings, worker workerSettings, at urls, where fleetSettings, b *backends, log *slog.Logger) (*controller, error) {
	h, err := openFleet(ctx, where, shared, scaling, worker, at, b, log)
	if err != nil {
		return nil, err
	}
	leadership, err := b.leadership(ctx, holder, log)
	if err != nil {
		return nil, err
	}
	c := newController(leadership, h, b, log)
	c.teller = scale.NewTeller(b.bus, c.loop)
	return c, nil
}

// holderName tells this process apart among those that may lead.
func holderName() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("finding the name of this machine: %w", err)
	}
	return fmt.Sprintf("%s %d", host, os.Getpid()), nil
}
