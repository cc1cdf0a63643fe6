package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/fleet"
)

func newServeCommand() *cobra.Command {
	var shared sharedSettings
	var s nodeSettings
	var at urls
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run one web node: take images, queue them, show results; workers run elsewhere",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := asUsage(append(append(shared.problems(), s.problems()...), at.problems()...)); err != nil {
				return err
			}
			return serve(cmd.Context(), shared, s, at, newLogger(cmd.ErrOrStderr(), shared.logLevel))
		},
	}
	shared.register(cmd.Flags())
	s.register(cmd.Flags())
	at.register(cmd.Flags())
	return cmd
}

// serve runs a web node on a queue and a store that are elsewhere, until ctx ends.
func serve(ctx context.Context, shared sharedSettings, s nodeSettings, at urls, log *slog.Logger) error {
	limitMemory(nodeMemory)
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
	roster := fleet.NewRoster(b.bus)
	front, err := s.door.tls.wrap(listener, "", log)
	if err != nil {
		return err
	}
	n, err := newNode(ctx, shared, s, listener.Addr(), "", b, roster, nil, log)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return roster.Run(ctx) })
	group.Go(func() error { return n.run(ctx, front) })
	log.Info("serving", "address", listener.Addr())
	return group.Wait()
}
