package natsqueue

import (
	"fmt"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// held returns how many messages the lanes hold, by lane.
func held(t *testing.T, q *Queue) map[int]int64 {
	t.Helper()
	state, err := q.state(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	return state.lanes()
}

func TestGroupsSpreadOverTheLanes(t *testing.T) {
	t.Parallel()
	q := openConfig(t, Config{Lease: time.Minute})
	for i := range 3 * lanes {
		var msgs []queue.Message
		for n := range 5 {
			msgs = append(msgs, queue.Message{ID: fmt.Sprintf("%d-%d", i, n), Group: fmt.Sprint("group-", i), Body: []byte("x")})
		}
		if err := q.Send(t.Context(), msgs...); err != nil {
			t.Fatal(err)
		}
	}
	for lane := range lanes {
		if n := held(t, q)[lane]; n != 15 {
			t.Errorf("lane %d holds %d messages, want 15", lane, n)
		}
	}
}

// A large group keeps its lane as long as any of it waits, also for a sender that knows the lanes only by counting them.
func TestAGroupStaysInItsLane(t *testing.T) {
	t.Parallel()
	q := openConfig(t, Config{Lease: time.Minute})
	send := func(group string, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := q.Send(t.Context(), queue.Message{ID: fmt.Sprint(group, i), Group: group, Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	recount := func() {
		q.board.mu.Lock()
		q.board.counted = time.Time{}
		q.board.mu.Unlock()
	}
	send("large", 0, 40)
	send("small", 0, 2)
	recount()
	send("large", 40, 80)
	send("small", 2, 4)
	if got := held(t, q); len(got) != 2 || got[0] != 80 || got[1] != 4 {
		t.Fatalf("the lanes hold %v, want 80 and 4", got)
	}
	for pulled := 0; pulled < 4; { // all of the small one, which its consumer hears of a moment after it was stored
		ds, err := q.pull(t.Context(), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Ack(t.Context(), ds...); err != nil {
			t.Fatal(err)
		}
		pulled += len(ds)
	}
	for held(t, q)[1] > 0 { // acks are not answered
		if t.Context().Err() != nil {
			t.Fatal("the acks did not arrive")
		}
	}
	recount()
	send("other", 0, 1)
	send("small", 4, 5)
	if got := held(t, q); len(got) != 3 || got[1] != 1 || got[2] != 1 {
		t.Errorf("the lanes hold %v: a group that has nothing waiting goes where least waits", got)
	}
}
