package natsqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// Ack implements [queue.Queue]. It returns when the server has the acks, and does not wait until they are
// carried out: that costs two to five times as much, and a lost one costs a repeated delivery.
func (q *Queue) Ack(ctx context.Context, ds ...queue.Delivery) error {
	return q.settle(ctx, "ack", ds, func(r *receipt) error {
		r.until = time.Time{}
		return q.nc.Publish(r.reply, []byte("+ACK"))
	})
}

// Extend implements [queue.Queue].
func (q *Queue) Extend(ctx context.Context, ds ...queue.Delivery) error {
	return q.settle(ctx, "extend", ds, func(r *receipt) error {
		now := time.Now()
		if !now.Before(r.until) {
			return queue.ErrLeaseLost
		}
		r.until = q.leaseFrom(now)
		return q.nc.Publish(r.reply, []byte("+WPI"))
	})
}

// Nack implements [queue.Queue].
func (q *Queue) Nack(ctx context.Context, delay time.Duration, ds ...queue.Delivery) error {
	return q.settle(ctx, "nack", ds, func(r *receipt) error {
		if !time.Now().Before(r.until) {
			return nil
		}
		r.until = time.Time{}
		return q.nc.Publish(r.reply, fmt.Appendf(nil, `-NAK {"delay": %d}`, max(delay, 0)))
	})
}

// settle tells the server about each delivery, and waits until it has heard.
func (q *Queue) settle(ctx context.Context, what string, ds []queue.Delivery, tell func(*receipt) error) error {
	if len(ds) == 0 {
		return ctx.Err()
	}
	var errs []error
	for _, d := range ds {
		r, ok := d.Receipt.(*receipt)
		if !ok {
			return fmt.Errorf("%s message %s: the delivery is not from this queue", what, d.ID)
		}
		r.mu.Lock()
		err := tell(r)
		r.mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s message %s: %w", what, d.ID, err))
		}
	}
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := q.nc.FlushWithContext(limited); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", what, q.explain(ctx, err)))
	}
	return errors.Join(errs...)
}
