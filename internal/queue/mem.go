package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// dedupWindow is how long a queue in memory remembers an ID.
const dedupWindow = 2 * time.Minute

// Mem is a queue in this process's memory with the semantics of the real ones, for tests and for work
// that need not outlive the process. It reads the clock of the time package alone, so that it runs inside
// a testing/synctest bubble.
type Mem struct {
	lease time.Duration
	limit int

	mu     sync.Mutex
	sent   int64
	wake   chan struct{} // closed and replaced whenever a message may have become ready
	groups []*memGroup   // those with ready messages, in the order of their turns
	leased map[*memMessage]struct{}
	seen   map[string]time.Time // when an ID was last added
	order  []string             // the keys of seen, oldest first
}

type memGroup struct {
	name  string
	ready []*memMessage
}

type memMessage struct {
	Message
	sent    time.Time
	attempt int
	until   time.Time // end of the lease, or of the delay that a Nack asked for
	held    bool      // leased, and not waiting out a delay
}

// memReceipt remembers which lease a delivery stands for.
type memReceipt struct {
	msg     *memMessage
	attempt int
}

// NewMem returns an empty queue whose leases last lease, and which takes at most limit messages.
func NewMem(lease time.Duration, limit int) *Mem {
	return &Mem{
		lease:  lease,
		limit:  limit,
		wake:   make(chan struct{}),
		leased: make(map[*memMessage]struct{}),
		seen:   make(map[string]time.Time),
	}
}

// Send implements [Queue].
func (q *Mem) Send(ctx context.Context, msgs ...Message) error {
	if err := Check(msgs...); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.forget(now)
	if q.count()+len(msgs) > q.limit {
		return fmt.Errorf("send %d messages: %w: it holds %d of at most %d", len(msgs), ErrFull, q.count(), q.limit)
	}
	for _, m := range msgs {
		if _, ok := q.seen[m.ID]; ok {
			continue
		}
		q.seen[m.ID] = now
		q.order = append(q.order, m.ID)
		m.Body = slices.Clone(m.Body)
		q.sent++
		q.add(&memMessage{Message: m, sent: now})
	}
	return nil
}

// Receive implements [Queue].
func (q *Mem) Receive(ctx context.Context, max int, wait time.Duration) ([]Delivery, error) {
	if err := CheckReceive(max); err != nil {
		return nil, err
	}
	timeout := time.NewTimer(min(wait, MaxWait))
	defer timeout.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ds, wake, next := q.take(max)
		if len(ds) > 0 {
			return ds, nil
		}
		lapse := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-lapse.C:
		case <-timeout.C:
			lapse.Stop()
			return nil, nil
		}
		lapse.Stop()
	}
}

// take leases up to max ready messages, one of each group in turn. Where there is none it returns the
// channel that is closed when one is added, and how long it is until a lease or a delay ends.
func (q *Mem) take(max int) ([]Delivery, <-chan struct{}, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lapse(now)
	var ds []Delivery
	for len(ds) < max && len(q.groups) > 0 {
		g := q.groups[0]
		m := g.ready[0]
		g.ready = g.ready[1:]
		q.groups = q.groups[1:]
		if len(g.ready) > 0 {
			q.groups = append(q.groups, g)
		}
		m.attempt++
		m.until, m.held = now.Add(q.lease), true
		q.leased[m] = struct{}{}
		d := Delivery{Message: m.Message, Attempt: m.attempt, LeaseUntil: m.until, Receipt: memReceipt{m, m.attempt}}
		d.Body = slices.Clone(m.Body)
		ds = append(ds, d)
	}
	next := MaxWait
	for m := range q.leased {
		next = min(next, m.until.Sub(now))
	}
	return ds, q.wake, next
}

// lapse makes every message ready whose lease or delay has ended.
func (q *Mem) lapse(now time.Time) {
	var back []*memMessage
	for m := range q.leased {
		if !now.Before(m.until) {
			back = append(back, m)
			delete(q.leased, m)
		}
	}
	slices.SortFunc(back, func(a, b *memMessage) int { return a.sent.Compare(b.sent) })
	for _, m := range back {
		m.held = false
		q.add(m)
	}
}

// add makes a message ready, behind the others of its group.
func (q *Mem) add(m *memMessage) {
	i := slices.IndexFunc(q.groups, func(g *memGroup) bool { return g.name == m.Group })
	if i < 0 {
		i = len(q.groups)
		q.groups = append(q.groups, &memGroup{name: m.Group})
	}
	q.groups[i].ready = append(q.groups[i].ready, m)
	close(q.wake)
	q.wake = make(chan struct{})
}

// holds returns the message of a delivery whose lease still runs, and nil for any other.
func (q *Mem) holds(d Delivery, now time.Time) *memMessage {
	r, ok := d.Receipt.(memReceipt)
	if !ok || !r.msg.held || r.attempt != r.msg.attempt || !now.Before(r.msg.until) {
		return nil
	}
	return r.msg
}

// Ack implements [Queue].
func (q *Mem) Ack(ctx context.Context, ds ...Delivery) error {
	return q.each(ctx, ds, func(m *memMessage, _ time.Time) { delete(q.leased, m); m.held = false }, nil)
}

// Extend implements [Queue].
func (q *Mem) Extend(ctx context.Context, ds ...Delivery) error {
	return q.each(ctx, ds, func(m *memMessage, now time.Time) { m.until = now.Add(q.lease) }, ErrLeaseLost)
}

// Nack implements [Queue].
func (q *Mem) Nack(ctx context.Context, delay time.Duration, ds ...Delivery) error {
	return q.each(ctx, ds, func(m *memMessage, now time.Time) {
		m.held = false
		m.until = now.Add(delay)
		close(q.wake)
		q.wake = make(chan struct{})
	}, nil)
}

// each calls settle for every delivery whose lease still runs, and returns lost, named after the
// message, where one does not.
func (q *Mem) each(ctx context.Context, ds []Delivery, settle func(*memMessage, time.Time), lost error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	var err error
	for _, d := range ds {
		if m := q.holds(d, now); m != nil {
			settle(m, now)
		} else if lost != nil && err == nil {
			err = fmt.Errorf("message %s: %w", d.ID, lost)
		}
	}
	return err
}

// Stats implements [Queue].
func (q *Mem) Stats(ctx context.Context) (Stats, error) {
	if err := ctx.Err(); err != nil {
		return Stats{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.lapse(now)
	s := Stats{Leased: int64(len(q.leased)), Sent: q.sent, Exact: true}
	for m := range q.leased {
		s.Oldest = max(s.Oldest, now.Sub(m.sent))
	}
	for _, g := range q.groups {
		s.Ready += int64(len(g.ready))
		for _, m := range g.ready {
			s.Oldest = max(s.Oldest, now.Sub(m.sent))
		}
	}
	return s, nil
}

// count is the number of messages not yet settled.
func (q *Mem) count() int {
	n := len(q.leased)
	for _, g := range q.groups {
		n += len(g.ready)
	}
	return n
}

// forget drops the IDs that were added longer than dedupWindow ago.
func (q *Mem) forget(now time.Time) {
	for len(q.order) > 0 && now.Sub(q.seen[q.order[0]]) >= dedupWindow {
		delete(q.seen, q.order[0])
		q.order = q.order[1:]
	}
}
