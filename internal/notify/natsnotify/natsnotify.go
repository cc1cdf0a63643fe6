// Package natsnotify is the notification bus on the subjects of core NATS: nothing is stored, and a message
// reaches who listens at that moment. A topic is a subject behind a prefix.
//
// While the connection to the server is being made anew, what is published waits in the client up to its
// buffer's size, and what others publish is lost.
package natsnotify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/notify"
)

// Bounds of what waits in memory for one slow subscriber.
const (
	pendingMessages = 4096
	pendingBytes    = 16 << 20
)

// answerTimeout bounds the wait for the server.
const answerTimeout = 10 * time.Second

// Bus implements [notify.Bus].
type Bus struct {
	nc     *nats.Conn
	prefix string
}

// New returns a bus whose topics are the subjects that begin with prefix and a dot. It does not own nc and
// needs no closing.
func New(nc *nats.Conn, prefix string) (*Bus, error) {
	if err := notify.CheckTopic(prefix); err != nil {
		return nil, fmt.Errorf("open the notification bus: %w", err)
	}
	return &Bus{nc: nc, prefix: prefix}, nil
}

// Publish implements [notify.Bus].
func (b *Bus) Publish(ctx context.Context, topic string, body []byte) error {
	if err := notify.CheckMessage(topic, body); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := b.nc.Publish(b.prefix+"."+topic, body); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Subscribe implements [notify.Bus].
func (b *Bus) Subscribe(ctx context.Context, topic string, fn func(body []byte)) (stop func(), err error) {
	if err := notify.CheckTopic(topic); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var (
		mu      sync.Mutex // held while fn runs
		stopped bool
	)
	sub, err := b.nc.Subscribe(b.prefix+"."+topic, func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			fn(msg.Data)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	stop = func() {
		// An error says that the subscription has ended already, or its connection.
		_ = sub.Unsubscribe()
		mu.Lock()
		stopped = true
		mu.Unlock()
	}
	if err := errors.Join(sub.SetPendingLimits(pendingMessages, pendingBytes), b.flush(ctx)); err != nil {
		stop()
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return stop, nil
}

// flush waits until the server knows of the subscription: only then do others' messages come.
func (b *Bus) flush(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := b.nc.FlushWithContext(limited)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the message server gave no answer within %v", answerTimeout)
	}
	return err
}
