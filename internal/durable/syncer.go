package durable

import "sync"

// syncer shares flushes: one is under way at a time, and all callers that come while it runs share the next one,
// which sees everything that was done before their calls. That is group commit, without a timer: nobody waits for
// more than two flushes, and the more callers there are, the more share one.
type syncer struct {
	flush func() error
	turn  chan struct{} // has room for one: the flush under way

	mu   sync.Mutex
	next *round // who will flush next; nil while nobody waits
}

// round is one flush and those who wait for it.
type round struct {
	done chan struct{} // closed when err is set
	err  error
}

func newSyncer(flush func() error) *syncer {
	return &syncer{flush: flush, turn: make(chan struct{}, 1)}
}

// sync returns when a flush that began after the call has ended, with its error.
func (s *syncer) sync() error {
	s.mu.Lock()
	r := s.next
	leads := r == nil
	if leads {
		r = &round{done: make(chan struct{})}
		s.next = r
	}
	s.mu.Unlock()
	if !leads {
		<-r.done
		return r.err
	}

	s.turn <- struct{}{}
	s.mu.Lock()
	s.next = nil // who comes from here on could be too late for this flush
	s.mu.Unlock()
	r.err = s.flush()
	<-s.turn
	close(r.done)
	return r.err
}
