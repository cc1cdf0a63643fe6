package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/scale"
)

// controller keeps as many workers as the backlog is worth, while it leads.
type controller struct {
	leadership scale.Leadership
	hands      *hands
	roster     *fleet.Roster
	crew       *fleet.Crew
	loop       *scale.Loop
	teller     *scale.Teller // nil where the only web node is in this process
	log        *slog.Logger
	leads      atomic.Bool
	started    atomic.Int64 // workers
}

func newController(leadership scale.Leadership, h *hands, b *backends, log *slog.Logger) *controller {
	roster := fleet.NewRoster(b.bus)
	crew := fleet.NewCrew(h.launcher, roster, log, h.crew)
	c := &controller{leadership: leadership, hands: h, roster: roster, crew: crew, log: log}
	c.loop = scale.NewLoop(h.policy, b.queue, crew, func(d scale.Decision) error {
		c.started.Add(int64(len(d.Done.Launched)))
		return b.journal.Record(d)
	}, log)
	h.changed = c.loop.Policy
	return c
}

// run keeps workers until ctx ends.
func (c *controller) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	reach, letGo := context.WithCancel(context.WithoutCancel(ctx))
	defer letGo()
	if c.hands.run != nil {
		group.Go(func() error { return c.hands.run(reach) })
	}
	group.Go(func() error { return c.roster.Run(reach) })
	group.Go(func() error {
		defer letGo()
		return c.leadership.Lead(ctx, c.keep)
	})
	return group.Wait()
}

// keep keeps workers while this process leads. Then it lets them finish what they hold and leaves none behind, unless they can
// do without a controller.
func (c *controller) keep(ctx context.Context) error {
	c.leads.Store(true)
	defer c.leads.Store(false)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		c.crew.Listen(groupCtx)
		return c.loop.Run(groupCtx)
	})
	if c.teller != nil {
		group.Go(func() error { return c.teller.Run(groupCtx) })
	}
	err := group.Wait()
	if c.hands.stay {
		if left := len(c.crew.Snapshot().Workers); left > 0 {
			c.log.Info("workers stay: another controller finds them, they end themselves when they are idle for long, and `ocelli clean` ends them at once", "workers", left)
		}
		return err
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	return errors.Join(err, c.crew.End(ending))
}
