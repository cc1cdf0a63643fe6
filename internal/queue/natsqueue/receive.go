package natsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/queue"
)

// parkTime is how long pull requests are left at the lanes before a receiver looks again: after a
// reconnection the server knows nothing of them.
const parkTime = 5 * time.Second

// pullRequest asks a consumer for messages. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-13.md.
type pullRequest struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"` // nanoseconds
	NoWait  bool          `json:"no_wait,omitempty"`
}

// Receive implements [queue.Queue].
func (q *Queue) Receive(ctx context.Context, max int, wait time.Duration) ([]queue.Delivery, error) {
	if err := queue.CheckReceive(max); err != nil {
		return nil, err
	}
	end := time.Now().Add(min(wait, queue.MaxWait))
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ds, err := q.sweep(ctx, max)
		left := time.Until(end)
		if err == nil && len(ds) == 0 && left > 0 {
			ds, err = q.park(ctx, min(left, parkTime))
		}
		if err != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		if len(ds) > 0 || left <= 0 && err == nil {
			return ds, nil
		}
	}
}

// sweep takes what is there, up to max messages, from one lane after another. What it has taken before an
// error it returns without the error.
func (q *Queue) sweep(ctx context.Context, max int) ([]queue.Delivery, error) {
	state, err := q.state(ctx, true)
	if err != nil {
		return nil, err
	}
	var ds []queue.Delivery
	for _, lane := range q.turns(state) {
		got, err := q.pull(ctx, lane, max-len(ds))
		if len(got) > 0 {
			ds = append(ds, got...)
			q.mu.Lock()
			q.turn = (lane + 1) % lanes
			q.mu.Unlock()
		}
		if len(ds) == max || err != nil {
			if len(ds) > 0 {
				return ds, nil
			}
			return nil, err
		}
	}
	return ds, nil
}

// pull takes up to max messages of a lane, without waiting for one to come. It is quick, so it does not
// look at ctx once messages may be on their way.
func (q *Queue) pull(ctx context.Context, lane, max int) ([]queue.Delivery, error) {
	in, err := q.listen(max+1, 0)
	if err != nil {
		return nil, err
	}
	defer in.close()
	start := time.Now()
	if err := q.ring(in, lane, pullRequest{Batch: max, NoWait: true}); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	var ds []queue.Delivery
	for len(ds) < max {
		msg, err := in.wait(context.WithoutCancel(ctx), timeout.C)
		if err != nil {
			return ds, q.explain(ctx, err)
		}
		d, err := q.decode(msg, start)
		if err != nil || d == nil {
			return ds, err
		}
		ds = append(ds, *d)
	}
	return ds, nil
}

// park waits at all lanes for one message. See the package comment.
func (q *Queue) park(ctx context.Context, wait time.Duration) ([]queue.Delivery, error) {
	in, err := q.listen(1, 1)
	if err != nil {
		return nil, err
	}
	for lane := range lanes {
		if err := q.ring(in, lane, pullRequest{Batch: 1, Expires: wait}); err != nil {
			in.close()
			return nil, err
		}
	}
	timeout := time.NewTimer(wait + time.Second) // the server says so when the wait is over
	defer timeout.Stop()
	msg, err := in.wait(ctx, timeout.C)
	going := err != nil && ctx.Err() != nil
	start := time.Now()
	if err != nil {
		// One may have come at that moment all the same.
		if msg = in.leave(q.nc); msg == nil {
			return nil, q.explain(ctx, ctx.Err())
		}
	}
	d, err := q.decode(msg, start)
	if d == nil {
		return nil, err
	}
	if going {
		// The caller cannot use it. Another can, sooner than when the lease passes.
		return nil, q.Nack(context.WithoutCancel(ctx), 0, *d)
	}
	return []queue.Delivery{*d}, nil
}

// ring sends a pull request to a lane.
func (q *Queue) ring(in *inbox, lane int, req pullRequest) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	return q.nc.PublishRequest(q.next(lane), in.reply(lane), body)
}

// decode returns the delivery in a message whose lease began after start, or nil where the message says that
// there is none.
func (q *Queue) decode(msg *nats.Msg, start time.Time) (*queue.Delivery, error) {
	switch status := msg.Header.Get("Status"); status {
	case "":
	case "404", "408": // no messages, or the wait is over
		return nil, nil
	case "503":
		return nil, q.explain(context.Background(), nats.ErrNoResponders)
	default:
		return nil, errors.New("the message server refused: " + status + " " + msg.Header.Get("Description"))
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read what the message server says of a message: %w", err)
	}
	r := &receipt{reply: msg.Reply, until: q.leaseFrom(start)}
	return &queue.Delivery{
		Message: queue.Message{
			ID:    msg.Header.Get(nats.MsgIdHdr),
			Group: msg.Header.Get(groupHeader),
			Body:  msg.Data,
		},
		Attempt:    int(meta.NumDelivered),
		LeaseUntil: r.until,
		Receipt:    r,
	}, nil
}

// receipt is a lease.
type receipt struct {
	reply string // where the server hears of the message
	mu    sync.Mutex
	until time.Time // zero once the delivery is settled
}

// leaseFrom is when a lease that began at or just before start is taken to have passed: a little early, since
// a late Nack would take the message from its next holder.
func (q *Queue) leaseFrom(start time.Time) time.Time { return start.Add(q.cfg.Lease - q.cfg.Lease/20) }
