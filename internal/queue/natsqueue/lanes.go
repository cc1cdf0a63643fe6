package natsqueue

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// lanes is part of the layout on disk: with a smaller number, what lies in the lanes that are no more would not be found.
const lanes = queue.Lanes

// countFresh is how long a count of the lanes is believed, with what was sent since added to it.
const countFresh = 200 * time.Millisecond

// board is what a sender knows of the lanes. The waiting messages can be fewer than it thinks, by what was taken since the count.
type board struct {
	mu      sync.Mutex
	counted time.Time
	waiting [lanes]int64
	sent    [lanes]int64 // by this sender, ever

	seats queue.Groups[seat]
}

// seat is where the last message of a group went.
type seat struct {
	lane int
	sent int64 // to the lane, with that message
}

// count makes sure that the numbers are fresh. What cannot be counted is left as it was: the Send that follows will tell why.
func (q *Queue) count(ctx context.Context) {
	b := &q.board
	b.mu.Lock()
	due := time.Since(b.counted) >= countFresh
	if due {
		b.counted = time.Now() // others go on with the old numbers
	}
	before := b.sent
	b.mu.Unlock()
	if !due {
		return
	}
	state, err := q.state(ctx, true)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for lane := range lanes {
		b.waiting[lane] = b.sent[lane] - before[lane] // the server may have counted these too
	}
	for lane, n := range state.lanes() {
		b.waiting[lane] += n
	}
}

// take returns the lane for one more message of a group. A group whose messages wait stays with them, so that it has one turn among
// the others; otherwise it goes where least waits.
func (b *board) take(group string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	choose := func(s seat) seat {
		if s.sent == 0 || b.waiting[s.lane] <= b.sent[s.lane]-s.sent {
			s.lane = queue.Emptiest(b.waiting[:])
		}
		b.waiting[s.lane]++
		b.sent[s.lane]++
		s.sent = b.sent[s.lane]
		return s
	}
	if group == "" {
		return choose(seat{}).lane
	}
	return b.seats.Change(group, choose).lane
}

// lanes tells how many messages each lane holds that has any, leased ones included.
func (s streamState) lanes() map[int]int64 {
	held := make(map[int]int64, len(s.Subjects))
	for subject, n := range s.Subjects {
		if lane, err := strconv.Atoi(subject[strings.LastIndexByte(subject, '.')+1:]); err == nil && 0 <= lane && lane < lanes {
			held[lane] = n
		}
	}
	return held
}

// turns lists the lanes that hold messages, leased ones included, beginning with the one whose turn it is.
func (q *Queue) turns(s streamState) []int {
	q.mu.Lock()
	first := q.turn
	q.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.lanes()), func(a, b int) int { return (a-first+lanes)%lanes - (b-first+lanes)%lanes })
}
