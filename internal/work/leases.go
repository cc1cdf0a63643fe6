package work

import (
	"maps"
	"slices"
	"sync"

	"github.com/ocelli/ocelli/internal/queue"
)

// leases are the deliveries that a worker holds: those in hand and those that wait for a hand.
type leases struct {
	told func(leases, ended int)

	mu sync.Mutex
	of map[string]queue.Delivery // by message id
}

func (l *leases) add(ds ...queue.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]queue.Delivery{}
	}
	for _, d := range ds {
		l.of[d.ID] = d
	}
	l.tell(0)
}

func (l *leases) drop(d queue.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, d.ID)
	l.tell(1)
}

func (l *leases) held() []queue.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.of))
}

func (l *leases) tell(ended int) {
	if l.told != nil {
		l.told(len(l.of), ended)
	}
}
