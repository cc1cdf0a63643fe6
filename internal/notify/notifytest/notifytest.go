// Package notifytest holds every driver of the notify seam to the seam's contract.
package notifytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/notify"
)

// patience is how long a message may take on a busy machine. A driver may lose messages, but not on one
// machine that is otherwise well.
const patience = 10 * time.Second

// Open returns two ends of one new bus, as two processes would have them. A driver whose bus lives in
// one process returns the same twice. It closes what it opened with t.Cleanup.
type Open func(t *testing.T) (a, b notify.Bus)

// Run holds a driver to the contract of [notify.Bus].
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(t *testing.T, a, b notify.Bus){
		"every subscriber of a topic hears, and no other": topics,
		"each message comes once, one after another":      serial,
		"nothing is kept for later":                       notKept,
		"stop is final":                                   stopIsFinal,
		"a slow subscriber holds up nobody":               slow,
		"bodies arrive unchanged":                         bodies,
		"wrong arguments are refused":                     refused,
		"a context that has ended":                        ended,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := open(t)
			test(t, a, b)
		})
	}
}

// listen subscribes and returns what is heard.
func listen(t *testing.T, bus notify.Bus, topic string) (heard <-chan string, stop func()) {
	t.Helper()
	c := make(chan string, 4096)
	stop, err := bus.Subscribe(t.Context(), topic, func(body []byte) { c <- string(body) })
	if err != nil {
		t.Fatalf("subscribe to %s: %v", topic, err)
	}
	t.Cleanup(stop)
	return c, stop
}

func publish(t *testing.T, bus notify.Bus, topic, body string) {
	t.Helper()
	if err := bus.Publish(t.Context(), topic, []byte(body)); err != nil {
		t.Fatalf("publish to %s: %v", topic, err)
	}
}

// until returns what is heard up to the message last, which it includes.
func until(t *testing.T, heard <-chan string, last string) []string {
	t.Helper()
	timeout := time.After(patience)
	var all []string
	for {
		select {
		case s := <-heard:
			all = append(all, s)
			if s == last {
				return all
			}
		case <-timeout:
			t.Fatalf("%q was not heard; %d other messages were", last, len(all))
		}
	}
}

func topics(t *testing.T, a, b notify.Bus) {
	one, _ := listen(t, a, "results.node-1.job_1")
	same, _ := listen(t, b, "results.node-1.job_1")
	other, _ := listen(t, b, "results.node-1.job_2")
	above, _ := listen(t, b, "results.node-1")
	for _, bus := range []notify.Bus{a, b} {
		publish(t, bus, "results.node-1.job_1", "x")
		publish(t, bus, "results.node-1.job_2", "y")
	}
	for _, topic := range []string{"results.node-1.job_1", "results.node-1.job_2", "results.node-1"} {
		publish(t, a, topic, "end of a")
		publish(t, b, topic, "end of b")
	}
	for name, c := range map[string]struct {
		heard <-chan string
		want  map[string]int
	}{
		"one":   {one, map[string]int{"x": 2}},
		"same":  {same, map[string]int{"x": 2}},
		"other": {other, map[string]int{"y": 2}},
		"above": {above, map[string]int{}},
	} {
		got := make(map[string]int)
		for ends := 0; ends < 2; {
			select {
			case s := <-c.heard:
				if strings.HasPrefix(s, "end") {
					ends++
				} else {
					got[s]++
				}
			case <-time.After(patience):
				t.Fatalf("%s heard only %v", name, got)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s heard (-want +got):\n%s", name, diff)
		}
	}
}

func serial(t *testing.T, a, b notify.Bus) {
	const n = 200
	var running atomic.Int32
	heard := make(chan string, 2*n)
	stop, err := a.Subscribe(t.Context(), "serial", func(body []byte) {
		if running.Add(1) > 1 {
			t.Error("a subscriber was called while it was busy with another message")
		}
		runtime.Gosched()
		running.Add(-1)
		heard <- string(body)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	var publishers sync.WaitGroup
	for i := range 4 {
		publishers.Go(func() {
			for j := range n / 4 {
				if err := b.Publish(t.Context(), "serial", fmt.Append(nil, i, ".", j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	times := make(map[string]int)
	for timeout := time.After(patience); len(times) < n; {
		select {
		case s := <-heard:
			if times[s]++; times[s] > 1 {
				t.Errorf("%s was heard twice", s)
			}
		case <-timeout:
			t.Fatalf("%d of %d messages were heard", len(times), n)
		}
	}
}

func notKept(t *testing.T, a, b notify.Bus) {
	early, _ := listen(t, a, "kept")
	publish(t, b, "kept", "before")
	until(t, early, "before") // so it is past
	heard, _ := listen(t, a, "kept")
	publish(t, b, "kept", "after")
	if diff := cmp.Diff([]string{"after"}, until(t, heard, "after")); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}

func stopIsFinal(t *testing.T, a, b notify.Bus) {
	running := make(chan struct{}, 1000)
	over := make(chan struct{})
	stop, err := a.Subscribe(t.Context(), "stop", func([]byte) {
		running <- struct{}{}
		select {
		case <-over:
			t.Error("a subscriber was called after stop had returned")
		case <-time.After(20 * time.Millisecond): // work that stop has to wait for
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := listen(t, a, "stop")
	for range 50 {
		publish(t, b, "stop", "x")
	}
	<-running
	stop()
	close(over)
	stop() // a second time does nothing
	publish(t, b, "stop", "last")
	until(t, other, "last")
}

func slow(t *testing.T, a, b notify.Bus) {
	release := make(chan struct{})
	called := make(chan struct{}, 1)
	stop, err := a.Subscribe(t.Context(), "slow", func([]byte) {
		select {
		case called <- struct{}{}:
		default:
		}
		<-release
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	t.Cleanup(func() { close(release) })
	publish(t, b, "slow", "first")
	<-called
	quick, _ := listen(t, a, "quick")
	for i := range 500 {
		publish(t, b, "slow", "more")
		publish(t, b, "quick", fmt.Sprint(i))
	}
	until(t, quick, "499")
}

func bodies(t *testing.T, a, b notify.Bus) {
	heard, _ := listen(t, a, "bodies")
	want := []string{"", "x", "\x00\xff\r\nPUB a 1\r\n", strings.Repeat("a", notify.MaxBody), "last"}
	for _, body := range want {
		publish(t, b, "bodies", body)
	}
	if diff := cmp.Diff(want, until(t, heard, "last")); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}

func refused(t *testing.T, a, _ notify.Bus) {
	for _, topic := range []string{"", ".", "a..b", "a.", "*", "a.>", "a b", "a\r\nb", "ü", strings.Repeat("a", 300)} {
		if err := a.Publish(t.Context(), topic, nil); err == nil {
			t.Errorf("published to %q", topic)
		}
		if stop, err := a.Subscribe(t.Context(), topic, func([]byte) {}); err == nil {
			stop()
			t.Errorf("subscribed to %q", topic)
		}
	}
	if err := a.Publish(t.Context(), "a", make([]byte, notify.MaxBody+1)); err == nil {
		t.Error("published a body that is too long")
	}
}

func ended(t *testing.T, a, _ notify.Bus) {
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 1)
	stop, err := a.Subscribe(ctx, "ended", func(body []byte) { heard <- string(body) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	cancel()
	publish(t, a, "ended", "still there")
	until(t, heard, "still there")
	if err := a.Publish(ctx, "ended", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("publish with a context that has ended: %v", err)
	}
	if stop, err := a.Subscribe(ctx, "ended", func([]byte) {}); !errors.Is(err, context.Canceled) {
		stop()
		t.Errorf("subscribe with a context that has ended: %v", err)
	}
}
