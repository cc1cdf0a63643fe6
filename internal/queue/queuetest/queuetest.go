// Package queuetest holds every driver of the queue seam to the seam's contract.
//
// [Run] is what all must pass. [Dedup] and [Fair] are apart, since a stand-in of a cloud service may lack
// them, and [Restart] is for drivers whose queue outlives the process. Leases and delays are whole
// seconds, which is the step of Amazon SQS. The cases run in parallel and each opens a queue of its own,
// which must be empty.
package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// Open returns an empty queue with the lease; it closes what it opened with t.Cleanup.
type Open func(t *testing.T, lease time.Duration) queue.Queue

const (
	short = time.Second      // a lease that is waited out
	long  = 30 * time.Second // a lease that does not pass while a test runs
	stale = short / 20       // how much a server's clock may run ahead of its own promise
	slack = 20 * time.Second // how much later than promised something may come on a busy machine
)

// Run holds a driver to the contract of [queue.Queue].
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"what is sent is delivered until it is acked":          delivered,
		"attempts rise and messages come back after the lease": leaseExpires,
		"an extended lease holds":                              extended,
		"a nacked message comes back after the delay":          nacked,
		"late settling harms nobody":                           late,
		"stats never forget a message":                         stats,
		"stats of a queue whose holder died":                   deadHolder,
		"receive waits as long as it was told":                 waits,
		"receive is woken by a message":                        woken,
		"receive ends with its context":                        cancelled,
		"large and odd bodies arrive unchanged":                bodies,
		"wrong arguments are refused":                          refused,
		"receivers get different messages":                     disjoint,
		"a group's order is roughly that of sending":           order,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// Dedup holds a driver to telling a repeated ID.
func Dedup(t *testing.T, open Open) {
	q := open(t, long)
	m := messages("dedup", "", 2)
	send(t, q, m...)
	send(t, q, m[0])
	send(t, q, m...)
	ack(t, q, receive(t, q, 2)...)
	send(t, q, m...) // also once it is settled
	none(t, q)
}

// Restart holds a driver to keeping what was sent. start opens the same queue each time that it is called,
// with a lease of at least 10 s; stop is called in between, and may be as rough as the driver promises to
// survive.
func Restart(t *testing.T, start func(t *testing.T) (q queue.Queue, stop func())) {
	q, stop := start(t)
	sent := messages("restart", "g", 20)
	send(t, q, sent...)
	acked := receive(t, q, 3)
	ack(t, q, acked...)
	receive(t, q, 2)  // left behind by a holder that died
	settled(t, q, 17) // an ack need not be carried out when Ack returns
	stop()

	q, stop = start(t)
	defer stop()
	if s := settled(t, q, 17); s.Oldest <= 0 {
		t.Errorf("the oldest of 17 messages has age %v after the restart", s.Oldest)
	}
	for _, d := range receive(t, q, 15) {
		if slices.ContainsFunc(acked, func(a queue.Delivery) bool { return a.ID == d.ID }) {
			t.Errorf("%s was acked before the restart and came again", d.ID)
		}
	}
}

func delivered(t *testing.T, open Open) {
	q := open(t, long)
	sent := messages("m", "job-1", 25)
	send(t, q, sent...)
	got := make(map[string]string)
	for len(got) < len(sent) {
		ds := receive(t, q, 1)
		for _, d := range ds {
			if d.Attempt < 1 {
				t.Errorf("%s: attempt %d", d.ID, d.Attempt)
			}
			if left := time.Until(d.LeaseUntil); left > long || left < long-slack {
				t.Errorf("%s: the lease ends in %v, not in %v", d.ID, left, long)
			}
			if d.Group != "job-1" {
				t.Errorf("%s: group %q, not %q", d.ID, d.Group, "job-1")
			}
			got[d.ID] = string(d.Body)
		}
		ack(t, q, ds...)
	}
	for _, m := range sent {
		if got[m.ID] != string(m.Body) {
			t.Errorf("%s arrived as %q, not %q", m.ID, got[m.ID], m.Body)
		}
	}
	settled(t, q, 0)
}

func leaseExpires(t *testing.T, open Open) {
	q := open(t, short)
	send(t, q, messages("m", "", 1)...)
	var earliest time.Time // when it may come again
	for attempt := 1; attempt <= 3; attempt++ {
		asked := time.Now()
		d := receive(t, q, 1)[0]
		if d.Attempt != attempt {
			t.Errorf("delivery %d says attempt %d", attempt, d.Attempt)
		}
		if early := time.Until(earliest); early > 0 {
			t.Errorf("delivery %d came %v before the lease had passed", attempt, early)
		}
		// The lease began after it was asked for, and as late as the last time it had not passed.
		if earliest.After(asked) {
			asked = earliest
		}
		earliest = asked.Add(short - stale)
	}
}

func extended(t *testing.T, open Open) {
	q := open(t, 2*time.Second)
	ctx := t.Context()
	send(t, q, messages("m", "", 2)...)
	held := receive(t, q, 2)
	renewed := time.Now()
	for end := renewed.Add(3 * time.Second); time.Now().Before(end); {
		again, err := q.Receive(ctx, 1, 600*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if time.Since(renewed) > 1500*time.Millisecond {
			t.Skip("this machine is too busy to renew a lease of 2s in time")
		}
		if len(again) > 0 {
			t.Fatalf("%s was delivered again while its lease was being extended", again[0].ID)
		}
		before := renewed
		renewed = time.Now()
		err = q.Extend(ctx, held...)
		if time.Since(before) > 1500*time.Millisecond {
			t.Skip("this machine is too busy to renew a lease of 2s in time")
		}
		if err != nil {
			t.Fatalf("extend a lease that runs: %v", err)
		}
	}
	ack(t, q, held...)
	settled(t, q, 0)
}

func nacked(t *testing.T, open Open) {
	q := open(t, long)
	send(t, q, messages("m", "", 2)...)
	held := receive(t, q, 2)
	start := time.Now()
	if err := q.Nack(t.Context(), 0, held[0]); err != nil {
		t.Fatal(err)
	}
	if err := q.Nack(t.Context(), 2*time.Second, held[1]); err != nil {
		t.Fatal(err)
	}
	settled(t, q, 2)
	first := receive(t, q, 1)[0]
	if first.ID != held[0].ID || first.Attempt != 2 {
		t.Errorf("got %s, attempt %d, first; want %s, attempt 2, which was nacked without delay", first.ID, first.Attempt, held[0].ID)
	}
	second := receive(t, q, 1)[0]
	if second.ID != held[1].ID || second.Attempt != 2 {
		t.Errorf("got %s, attempt %d, second; want %s, attempt 2", second.ID, second.Attempt, held[1].ID)
	}
	if took := time.Since(start); took < 1900*time.Millisecond {
		t.Errorf("a message nacked for 2s came back after %v", took)
	}
}

func late(t *testing.T, open Open) {
	ctx := t.Context()
	q := open(t, 4*time.Second)
	send(t, q, messages("m", "", 1)...)
	old := receive(t, q, 1)
	fresh := receive(t, q, 1)               // the first lease has passed
	runs := time.Now().Add(2 * time.Second) // also where the answer took as long
	if err := q.Nack(ctx, 0, old...); err != nil {
		t.Errorf("a late nack: %v", err)
	}
	if err := q.Extend(ctx, old...); err != nil && !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("a late extend: %v", err)
	}
	again, err := q.Receive(ctx, 1, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(again) > 0 && time.Now().Before(runs) {
		t.Error("a late nack took the message from its holder")
	}
	if err := q.Ack(ctx, old...); err != nil {
		t.Errorf("a late ack: %v", err)
	}
	ack(t, q, again...)
	ack(t, q, fresh...)
	settled(t, q, 0)
	if err := errors.Join(q.Ack(ctx, fresh...), q.Nack(ctx, 0)); err != nil {
		t.Errorf("a second ack and a nack of nothing: %v", err)
	}
}

func stats(t *testing.T, open Open) {
	q := open(t, long)
	if s := settled(t, q, 0); s.Oldest != 0 {
		t.Errorf("the oldest message of an empty queue has age %v", s.Oldest)
	}
	start := time.Now()
	before := getStats(t, q).Sent
	send(t, q, messages("a", "a", 4)...)
	send(t, q, messages("b", "b", 3)...)
	settled(t, q, 7)
	if sent := getStats(t, q).Sent; sent != 0 && sent != before+7 {
		t.Errorf("%d messages were sent before 7 more, and %d after them", before, sent)
	}
	held := append(receive(t, q, 2), receive(t, q, 2)...)
	settled(t, q, 7)
	ack(t, q, held[0])
	if err := q.Nack(t.Context(), 10*time.Second, held[1]); err != nil {
		t.Fatal(err)
	}
	s := settled(t, q, 6)
	if s.Exact && s.Leased != 3 {
		t.Errorf("3 messages are held or wait out a delay, and stats say %d", s.Leased)
	}
	if s.Oldest > time.Since(start)+time.Second {
		t.Errorf("the oldest message has age %v, and all were sent %v ago", s.Oldest, time.Since(start))
	}
}

func deadHolder(t *testing.T, open Open) {
	q := open(t, short)
	send(t, q, messages("m", "", 5)...)
	receive(t, q, 3) // by one that never says a word again
	for end := time.Now().Add(2 * short); time.Now().Before(end); {
		if s := getStats(t, q); s.Exact && s.Backlog() != 5 {
			t.Fatalf("5 messages are not settled, and stats say %d ready and %d leased", s.Ready, s.Leased)
		}
		wait(t, 50*time.Millisecond)
	}
	settled(t, q, 5)
	all := append(receive(t, q, 1), receive(t, q, 4)...)
	ack(t, q, all...)
}

func waits(t *testing.T, open Open) {
	q := open(t, long)
	for _, wait := range []time.Duration{0, time.Second} {
		start := time.Now()
		ds, err := q.Receive(t.Context(), 10, wait)
		took := time.Since(start)
		if err != nil || len(ds) > 0 {
			t.Fatalf("receive from an empty queue: %d messages, %v", len(ds), err)
		}
		if took < wait*9/10 || took > wait+slack {
			t.Errorf("receive with wait %v took %v", wait, took)
		}
	}
}

func woken(t *testing.T, open Open) {
	q := open(t, long)
	done := make(chan error, 1)
	for round := range 3 {
		go func() {
			ds, err := q.Receive(t.Context(), 2, 15*time.Second)
			if err == nil && len(ds) != 1 {
				err = fmt.Errorf("%d messages, not 1", len(ds))
			}
			done <- errors.Join(err, q.Ack(t.Context(), ds...))
		}()
		wait(t, 200*time.Millisecond) // so that it is, most likely, waiting
		start := time.Now()
		send(t, q, messages(fmt.Sprint("woken", round), fmt.Sprint("job", round), 1)...)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > slack {
			t.Errorf("a waiting receiver got a message %v after it was sent", took)
		}
	}
}

func cancelled(t *testing.T, open Open) {
	q := open(t, long)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	start := time.Now()
	ds, err := q.Receive(ctx, 1, 15*time.Second)
	if !errors.Is(err, context.Canceled) || len(ds) > 0 {
		t.Errorf("receive whose context ended: %d messages, %v", len(ds), err)
	}
	if took := time.Since(start); took > slack {
		t.Errorf("receive returned %v after its start, and its context ended after 300ms", took)
	}
	send(t, q, messages("m", "", 1)...)
	ack(t, q, receive(t, q, 1)...) // it took nothing with it
}

func bodies(t *testing.T, open Open) {
	q := open(t, long)
	want := map[string]string{
		"large": strings.Repeat("0123456789abcdef", queue.MaxBody/16),
		"odd":   `{"name":"a \"quoted\" <name> & ünïcödé 😀.jpg"}` + "\t\n",
		"one":   "x",
	}
	for id, body := range want {
		send(t, q, queue.Message{ID: id, Body: []byte(body)})
	}
	for _, d := range receive(t, q, len(want)) {
		if string(d.Body) != want[d.ID] {
			t.Errorf("the body of %q did not arrive as it was sent: %d bytes, not %d", d.ID, len(d.Body), len(want[d.ID]))
		}
	}
}

func refused(t *testing.T, open Open) {
	q := open(t, long)
	ok := queue.Message{ID: "ok", Body: []byte("x")}
	for what, m := range map[string]queue.Message{
		"a body of 64 KiB and one byte": {ID: "a", Body: make([]byte, queue.MaxBody+1)},
		"a body that is not UTF-8":      {ID: "a", Body: []byte{0xff, 0xfe}},
		"no ID":                         {Body: []byte("x")},
		"an ID with a line break":       {ID: "a\r\nb", Body: []byte("x")},
		"a group with a space":          {ID: "a", Group: "a b", Body: []byte("x")},
	} {
		if err := q.Send(t.Context(), ok, m); err == nil {
			t.Errorf("%s was sent", what)
		}
	}
	for _, max := range []int{0, queue.MaxReceive + 1} {
		if _, err := q.Receive(t.Context(), max, 0); err == nil {
			t.Errorf("receive accepted max %d", max)
		}
	}
	none(t, q)
}

func disjoint(t *testing.T, open Open) {
	q := open(t, 2*time.Minute)
	const n = 200
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got = make(map[string]int)
	)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				ds, err := q.Receive(ctx, 3, time.Second)
				if err == nil {
					err = q.Ack(ctx, ds...)
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					cancel()
				}
				mu.Lock()
				for _, d := range ds {
					got[d.ID]++
				}
				if len(got) == n {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range 10 {
		send(t, q, messages(fmt.Sprint("m", i), fmt.Sprint("job", i), n/10)...)
	}
	wg.Wait()
	if len(got) != n {
		t.Errorf("%d of %d messages were received", len(got), n)
	}
	for id, times := range got {
		if times > 1 {
			t.Errorf("%s was received %d times", id, times)
		}
	}
}

func order(t *testing.T, open Open) {
	q := open(t, long)
	const n = 100
	for part := range slices.Chunk(messages("m", "g", n), n/10) {
		send(t, q, part...)
	}
	place := make(map[string]int)
	for len(place) < n {
		ds := receive(t, q, 1)
		for _, d := range ds {
			place[d.ID] = len(place)
		}
		ack(t, q, ds...)
	}
	first, last := 0, 0
	for i, m := range messages("m", "g", n) {
		if i < n/2 {
			first += place[m.ID]
		} else {
			last += place[m.ID]
		}
	}
	if first >= last {
		t.Errorf("the first half sent came at place %d on average, and the second at %d", first/(n/2), last/(n/2))
	}
}
