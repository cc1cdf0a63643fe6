package natsqueue

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
)

// server is one server for all tests of the package; each has a stream of its own.
var server *natsembed.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(childEnv) != "" {
		return child()
	}
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			// What is tested here survives the process and not the machine, and syncing a busy disk takes
			// longer than all the rest.
			os.Setenv("TMPDIR", "/dev/shm")
		}
	}
	flag.Set("test.parallel", "6") // the cases mostly wait for leases to pass
	dir, err := os.MkdirTemp("", "natsqueue")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	server, err = serve(dir, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Shutdown()
	return m.Run()
}

func serve(dir, listen string) (*natsembed.Server, error) {
	return natsembed.Start(context.Background(), natsembed.Config{
		Dir: dir, Listen: listen, Token: "secret", Logger: slog.New(slog.DiscardHandler),
	})
}

// dial connects over TCP, as a worker process does.
func dial(t testing.TB, s *natsembed.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.Token("secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

var names atomic.Int64

func openConfig(t testing.TB, cfg Config) *Queue {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = fmt.Sprint("test-", names.Add(1))
	}
	q, err := Open(t.Context(), dial(t, server), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func open(t *testing.T, lease time.Duration) queue.Queue { return openConfig(t, Config{Lease: lease}) }

func TestQueue(t *testing.T) { t.Parallel(); queuetest.Run(t, open) }
func TestDedup(t *testing.T) { t.Parallel(); queuetest.Dedup(t, open) }
func TestFair(t *testing.T)  { t.Parallel(); queuetest.Fair(t, open) }

func send(t testing.TB, q *Queue, ids ...string) {
	t.Helper()
	var msgs []queue.Message
	for _, id := range ids {
		msgs = append(msgs, queue.Message{ID: id, Group: id, Body: []byte("x")})
	}
	if err := q.Send(t.Context(), msgs...); err != nil {
		t.Fatal(err)
	}
}

func backlog(t testing.TB, q *Queue) int64 {
	t.Helper()
	s, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Backlog()
}

func TestFullQueue(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3, atomicFrom + 1} {
		q := openConfig(t, Config{Lease: time.Minute, MaxMessages: 10})
		var msgs []queue.Message
		for i := range 10 + n {
			msgs = append(msgs, queue.Message{ID: fmt.Sprint("m", i), Body: []byte("x")})
		}
		if err := q.Send(t.Context(), msgs[:10]...); err != nil {
			t.Fatal(err)
		}
		if err := q.Send(t.Context(), msgs[10:]...); !errors.Is(err, queue.ErrFull) {
			t.Errorf("%d messages into a full queue: %v", n, err)
		}
		if got := backlog(t, q); got != 10 {
			t.Errorf("a queue of at most 10 messages holds %d", got)
		}
	}
}

// Messages that reach several lanes at once find one parked receiver, which asked for one of them. The
// others must be there for the next receiver at once, and not when a lease has passed.
func TestParkedReceiverHoldsNoMoreThanItAskedFor(t *testing.T) {
	t.Parallel()
	q := openConfig(t, Config{Lease: time.Minute})
	for round := range 10 {
		got := make(chan []queue.Delivery)
		go func() {
			ds, err := q.Receive(t.Context(), 1, 10*time.Second)
			if err != nil {
				t.Error(err)
			}
			got <- ds
		}()
		var ids []string
		for i := range 12 { // of as many groups, so on several lanes within one batch
			ids = append(ids, fmt.Sprintf("r%d-%d", round, i))
		}
		send(t, q, ids...)
		ds := <-got
		for len(ds) < len(ids) {
			more, err := q.Receive(t.Context(), 10, 5*time.Second)
			if err != nil || len(more) == 0 {
				t.Fatalf("round %d: %d of %d messages, then none: %v", round, len(ds), len(ids), err)
			}
			ds = append(ds, more...)
		}
		for _, d := range ds {
			if d.Attempt > 2 { // the delivery that reached nobody may be counted, once
				t.Errorf("round %d: %s came at attempt %d", round, d.ID, d.Attempt)
			}
		}
		if err := q.Ack(t.Context(), ds...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCancelledReceiversLeaveMessagesToOthers(t *testing.T) {
	t.Parallel()
	q := openConfig(t, Config{Lease: time.Minute})
	for i := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan []queue.Delivery)
		go func() {
			ds, err := q.Receive(ctx, 1, 10*time.Second)
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			got <- ds
		}()
		time.AfterFunc(time.Duration(i%5)*time.Millisecond, cancel)
		send(t, q, fmt.Sprint("m", i))
		ds := <-got
		if len(ds) == 0 {
			var err error
			if ds, err = q.Receive(t.Context(), 1, 5*time.Second); err != nil || len(ds) != 1 {
				t.Fatalf("round %d: the message went with the receiver whose context ended: %v", i, err)
			}
		}
		if err := q.Ack(t.Context(), ds...); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

func TestReopenWithAnotherConfig(t *testing.T) {
	t.Parallel()
	cfg := Config{Name: "changes", Lease: time.Minute, MaxMessages: 5}
	q := openConfig(t, cfg)
	send(t, q, "a", "b")
	cfg.Lease, cfg.MaxMessages = time.Second, 2
	q = openConfig(t, cfg)
	if err := q.Send(t.Context(), queue.Message{ID: "c"}); !errors.Is(err, queue.ErrFull) {
		t.Errorf("a third message with the new limit of two: %v", err)
	}
	for range 2 { // the second time after the new, short lease has passed
		n := 0
		for n < 2 {
			ds, err := q.Receive(t.Context(), 2, 5*time.Second)
			if err != nil || len(ds) == 0 {
				t.Fatalf("%d of 2 messages: %v", n, err)
			}
			n += len(ds)
		}
	}
	if err := q.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := backlog(t, q); n != 0 {
		t.Errorf("%d messages after a purge", n)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	nc := dial(t, server)
	for _, cfg := range []Config{{Lease: time.Minute}, {Name: "a.b", Lease: time.Minute}, {Name: "q"}} {
		if _, err := Open(t.Context(), nc, cfg); err == nil {
			t.Errorf("opened %+v", cfg)
		}
	}
	q := openConfig(t, Config{Name: "gone", Lease: time.Minute})
	var resp struct{ apiError }
	if err := q.ask(t.Context(), "$JS.API.STREAM.DELETE.gone", nil, &resp); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Receive(t.Context(), 1, 0); err == nil {
		t.Error("received from a stream that is gone")
	}
	if err := q.Send(t.Context(), queue.Message{ID: "a"}); err == nil {
		t.Error("sent to a stream that is gone")
	}
}
