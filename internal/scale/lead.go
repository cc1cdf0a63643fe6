package scale

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// ErrTaken is returned, wrapped, by [Lease.Take] when another process leads.
var ErrTaken = errors.New("another process leads")

// Lease is the lead as a driver of [Leadership] has it: for a while, unless it is taken again in time. Its methods are called one at a time.
type Lease interface {
	// Take asks for the lead, or for more of it while this process has it, and returns when this process must have stopped acting
	// unless it takes it again. That is reckoned from before the question, and well before another can have the lead. While another
	// leads it waits, or returns [ErrTaken]; after any other error this process may have the lead or not.
	Take(ctx context.Context) (until time.Time, err error)
	// GiveUp lets another lead at once. Where that fails the lease passes by itself.
	GiveUp(ctx context.Context) error
}

// Lead is [Leadership.Lead] with a lease: it asks for the lead every pause, and while it has it as often for more.
func Lead(ctx context.Context, lease Lease, pause time.Duration, log *slog.Logger, fn func(context.Context) error) error {
	told := "" // why this process waits, as last logged
	for ctx.Err() == nil {
		until, err := lease.Take(ctx)
		switch {
		case err == nil:
			log.Info("this process leads")
			told = ""
			if err := term(ctx, lease, until, pause, log, fn); err != nil {
				return err
			}
		case err.Error() != told && ctx.Err() == nil:
			told = err.Error()
			log.Info("this process waits for its turn to lead", "reason", told)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// term is one time of leading, with a lease that was taken until then.
func term(ctx context.Context, lease Lease, until time.Time, pause time.Duration, log *slog.Logger, fn func(context.Context) error) error {
	acting, stop := context.WithCancel(ctx)
	defer stop()
	end := time.AfterFunc(time.Until(until), func() {
		log.Warn("this process leads no more: its lead was not confirmed in time")
		stop()
	})
	defer end.Stop()
	returned := make(chan error, 1)
	go func() { returned <- fn(acting) }()
	beat := time.NewTicker(pause)
	defer beat.Stop()
	// The lead is kept until fn has returned, also after ctx has ended: it may still have workers to end.
	keeping := context.WithoutCancel(ctx)
	for {
		select {
		case err := <-returned:
			if failed := lease.GiveUp(keeping); failed != nil {
				log.Warn("the lead could not be given up at once; it passes by itself", "error", failed)
			} else {
				log.Info("this process has given up the lead")
			}
			return err
		case <-beat.C:
		}
		until, err := lease.Take(keeping)
		switch {
		case errors.Is(err, ErrTaken):
			end.Stop()
			log.Warn("this process leads no more", "error", err)
			stop()
			return <-returned
		case err != nil:
			log.Warn("the lead could not be confirmed; trying again", "error", err)
		case end.Stop(): // else it is too late to act; nobody else begins while fn ends
			end.Reset(time.Until(until))
		}
	}
}
