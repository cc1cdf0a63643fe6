package work

import (
	"sync"

	"github.com/ocelli/ocelli/internal/queue"
)

// leases are the deliveries that a worker holds: those in hand and those that wait for a hand. They are told apart by
// address, since a message whose lease has passed may be delivered to the same worker again.
type leases struct {
	mu sync.Mutex
	of map[*queue.Delivery]struct{}
}

func (l *leases) add(ds []*queue.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[*queue.Delivery]struct{}{}
	}
	for _, d := range ds {
		l.of[d] = struct{}{}
	}
}

func (l *leases) drop(d *queue.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, d)
}

func (l *leases) held() []queue.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make([]queue.Delivery, 0, len(l.of))
	for d := range l.of {
		held = append(held, *d)
	}
	return held
}
