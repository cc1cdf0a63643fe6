package natsqueue

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// inbox is a subscription to answers.
type inbox struct {
	subject string
	sub     *nats.Subscription
	msgs    chan *nats.Msg
}

// listen subscribes to up to size answers. The server ends the subscription by itself after limit of them,
// unless limit is 0.
func (q *Queue) listen(size, limit int) (*inbox, error) {
	in := &inbox{subject: q.nc.NewInbox(), msgs: make(chan *nats.Msg, size)}
	var err error
	if in.sub, err = q.nc.ChanSubscribe(in.subject+".*", in.msgs); err != nil {
		return nil, err
	}
	if limit > 0 {
		if err := in.sub.AutoUnsubscribe(limit); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// reply is the subject for the answer to the i-th request.
func (in *inbox) reply(i int) string { return in.subject + "." + strconv.Itoa(i) }

// wait returns the next answer.
func (in *inbox) wait(ctx context.Context, timeout <-chan time.Time) (*nats.Msg, error) {
	select {
	case msg := <-in.msgs:
		return msg, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timeout:
		return nil, context.DeadlineExceeded
	}
}

// close ends the subscription. That one has ended by itself, or with its connection, is no failure.
func (in *inbox) close() { _ = in.sub.Unsubscribe() }

// leave ends the subscription and returns an answer that was on its way at that moment, or nil.
func (in *inbox) leave(nc *nats.Conn) *nats.Msg {
	if err := in.sub.Drain(); err != nil {
		return nil
	}
	if err := nc.FlushTimeout(time.Second); err != nil {
		return nil
	}
	select {
	case msg := <-in.msgs:
		return msg
	default:
		return nil
	}
}
