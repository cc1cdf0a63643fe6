package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/scale"
)

func newServeCommand() *cobra.Command {
	var shared sharedSettings
	var s nodeSettings
	var scaling scalingSettings
	var worker workerSettings
	var at urls
	var where fleetSettings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run one web node: take images, queue them, show results; workers run elsewhere, or are kept with --fleet",
		Example: "  ocelli serve --queue nats://10.0.0.5:4222 --blobs file:///srv/ocelli\n" +
			"  ocelli serve --queue sqs://ocelli --blobs s3://my-bucket --fleet 'ec2://ocelli?template=ocelli-worker&spot=true'",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			problems := append(append(shared.problems(), s.problems()...), at.problems()...)
			if where.url != "" {
				problems = append(append(append(problems, scaling.problems()...), worker.problems()...), where.problems()...)
			}
			if err := asUsage(problems); err != nil {
				return err
			}
			keep := func(ctx context.Context, b *backends, log *slog.Logger) (*controller, error) {
				holder, err := holderName()
				if err != nil || where.url == "" {
					return nil, err
				}
				return openController(ctx, holder, shared, scaling, worker, at, where, b, log)
			}
			return serve(cmd.Context(), shared, s, at, keep, shared.logger(cmd.ErrOrStderr()))
		},
	}
	shared.register(cmd.Flags())
	s.register(cmd.Flags())
	scaling.register(cmd.Flags())
	worker.register(cmd.Flags())
	at.register(cmd.Flags())
	where.register(cmd.Flags())
	return cmd
}

// serve runs a web node on a queue and a store that are elsewhere, until ctx ends. keep opens the controller of the workers, or returns
// nil where others keep them.
func serve(ctx context.Context, shared sharedSettings, s nodeSettings, at urls, keep func(context.Context, *backends, *slog.Logger) (*controller, error), log *slog.Logger) error {
	tune(nodeMemory)
	listener, err := listen(s.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	b, err := openBackends(ctx, at, shared.lease, "serve", log)
	if err != nil {
		return err
	}
	defer b.close()
	c, err := keep(ctx, b, log)
	if err != nil {
		return err
	}
	roster := fleet.NewRoster(b.bus)
	listens := roster.Run
	if c != nil {
		roster, listens = c.roster, c.run
	}
	front, err := s.door.tls.wrap(listener, "", log)
	if err != nil {
		return err
	}
	n, err := newNode(ctx, shared, s, listener.Addr(), "", b, roster, nil, log)
	if err != nil {
		return err
	}
	if c != nil {
		n.keep(c)
	}
	follower := scale.NewFollower(b.bus)
	n.follow(follower)
	tracer, closeTracer, err := openTracer(ctx, "web", log)
	if err != nil {
		return err
	}
	defer closeTracer()
	n.trace(tracer)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return follower.Run(ctx) })
	group.Go(func() error { return listens(ctx) })
	group.Go(func() error { return n.run(ctx, front) })
	group.Go(func() error { return serveProfiles(ctx, s.debug, log) })
	log.Info("serving", "address", listener.Addr())
	return group.Wait()
}
