package notify

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// memPending is how many messages wait for one slow subscriber.
const memPending = 4096

// Mem is a bus within this process.
type Mem struct {
	mu   sync.Mutex
	subs map[string]map[*memSub]struct{} // by topic
}

type memSub struct {
	msgs chan []byte
	done chan struct{}
}

// NewMem returns a bus without subscribers.
func NewMem() *Mem { return &Mem{subs: make(map[string]map[*memSub]struct{})} }

// Publish implements [Bus].
func (b *Mem) Publish(ctx context.Context, topic string, body []byte) error {
	if err := CheckMessage(topic, body); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs[topic] {
		select {
		case s.msgs <- slices.Clone(body):
		default: // the subscriber is too slow, and the message is lost to it
		}
	}
	return nil
}

// Subscribe implements [Bus]. The goroutine that calls fn ends with stop.
func (b *Mem) Subscribe(ctx context.Context, topic string, fn func(body []byte)) (stop func(), err error) {
	if err := CheckTopic(topic); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &memSub{msgs: make(chan []byte, memPending), done: make(chan struct{})}
	b.mu.Lock()
	if b.subs[topic] == nil {
		b.subs[topic] = make(map[*memSub]struct{})
	}
	b.subs[topic][s] = struct{}{}
	b.mu.Unlock()

	var running sync.WaitGroup
	running.Go(func() { s.run(fn) })
	return sync.OnceFunc(func() {
		b.mu.Lock()
		delete(b.subs[topic], s)
		if len(b.subs[topic]) == 0 {
			delete(b.subs, topic)
		}
		b.mu.Unlock()
		close(s.done)
		running.Wait()
	}), nil
}

func (s *memSub) run(fn func([]byte)) {
	for {
		select {
		case <-s.done:
			return
		case body := <-s.msgs:
			select {
			case <-s.done:
				return
			default:
				fn(body)
			}
		}
	}
}
