package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/natsconn"
	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/notify/natsnotify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/natsqueue"
)

// A worker can do its work with its key, and nothing else.
func TestTheKeyOfAWorkerOpensWhatAWorkerNeeds(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	seed, limits, err := newWorkerKey(streamName)
	if err != nil {
		t.Fatal(err)
	}
	broker, err := natsembed.Start(t.Context(), natsembed.Config{Dir: t.TempDir(), Token: "owner", Workers: limits, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Shutdown)
	connect := func(c natsconn.Config) *nats.Conn {
		t.Helper()
		c.URL, c.Name, c.Logger = broker.ClientURL(), "test", log
		nc, err := natsconn.Connect(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
	owner, worker := connect(natsconn.Config{Token: "owner"}), connect(natsconn.Config{Seed: seed})
	cfg := natsqueue.Config{Name: streamName, Lease: 10 * time.Second}
	q, err := natsqueue.Open(t.Context(), owner, cfg)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	bus, _ := natsnotify.New(owner, streamName)
	for _, topic := range []string{"result.node", fleet.Topic} {
		if _, err := bus.Subscribe(t.Context(), topic, func(body []byte) { heard <- topic + " " + string(body) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Send(t.Context(), queue.Message{ID: "1", Body: []byte("one")}, queue.Message{ID: "2", Body: []byte("two")}); err != nil {
		t.Fatal(err)
	}

	theirs, err := natsqueue.Open(t.Context(), worker, cfg)
	if err != nil {
		t.Fatalf("a worker cannot open the queue: %v", err)
	}
	var ds []queue.Delivery
	for len(ds) < 2 {
		got, err := theirs.Receive(t.Context(), 2, 20*time.Second)
		if err != nil || len(got) == 0 {
			t.Fatalf("a worker receives %v, %v", got, err)
		}
		ds = append(ds, got...)
	}
	if err := theirs.Extend(t.Context(), ds...); err != nil {
		t.Errorf("a worker cannot extend: %v", err)
	}
	if err := theirs.Ack(t.Context(), ds[0]); err != nil {
		t.Errorf("a worker cannot acknowledge: %v", err)
	}
	if err := theirs.Nack(t.Context(), 0, ds[1]); err != nil {
		t.Errorf("a worker cannot give back: %v", err)
	}
	if got, err := theirs.Receive(t.Context(), 2, 20*time.Second); err != nil || len(got) != 1 || got[0].ID != ds[1].ID {
		t.Errorf("after one was acknowledged and the other given back, a worker receives %v, %v", got, err)
	}
	theirBus, _ := natsnotify.New(worker, streamName)
	for _, topic := range []string{"result.node", fleet.Topic} {
		if err := theirBus.Publish(t.Context(), topic, []byte("{}")); err != nil {
			t.Error(err)
		}
		select {
		case got := <-heard:
			if got != topic+" {}" {
				t.Errorf("heard is %s", got)
			}
		case <-time.After(time.Minute):
			t.Errorf("what a worker tells on %s is not heard", topic)
		}
	}

	forbidWorker(t, owner, worker, theirs)
	if stats, err := q.Stats(t.Context()); err != nil || stats.Backlog() != 1 || stats.Sent != 2 {
		t.Errorf("after all that the queue holds %+v, %v", stats, err)
	}
	stranger, err := nats.Connect(broker.ClientURL())
	if err == nil {
		stranger.Close()
		t.Error("without a key or the token a stranger connects")
	}
}

// forbidWorker tries what a worker must not be able to do.
func forbidWorker(t *testing.T, owner, worker *nats.Conn, theirs *natsqueue.Queue) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var refusals atomic.Int32
	worker.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			refusals.Add(1)
		}
	})
	js, err := jetstream.New(worker)
	if err != nil {
		t.Fatal(err)
	}
	for what, try := range map[string]func(context.Context) error{
		"send an image": func(ctx context.Context) error {
			return theirs.Send(ctx, queue.Message{ID: "3", Body: []byte("three")})
		},
		"empty the queue":  theirs.Purge,
		"delete the queue": func(ctx context.Context) error { return js.DeleteStream(ctx, streamName) },
		"make a stream": func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "own", Subjects: []string{"own"}})
			return err
		},
		"make a consumer": func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, streamName, jetstream.ConsumerConfig{FilterSubject: "ocelli.lane.1"})
			return err
		},
		"delete a consumer": func(ctx context.Context) error { return js.DeleteConsumer(ctx, streamName, "lane-1") },
		"read a message": func(ctx context.Context) error {
			_, err := worker.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+streamName, []byte(`{"seq":1}`))
			return err
		},
	} {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		if err := try(short); err == nil {
			t.Errorf("a worker can %s", what)
		}
		cancel()
	}
	for _, subject := range []string{">", "*", streamName + ".>", streamName + ".result.*", streamName + ".lane.*", "_INBOX.>", "$JS.>", "$SYS.>"} {
		sub, err := worker.SubscribeSync(subject)
		if err != nil {
			continue
		}
		if err := worker.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, told := range []string{streamName + ".result.node", "_INBOX.x"} {
			if err := owner.Publish(told, []byte("secret")); err != nil {
				t.Fatal(err)
			}
		}
		if err := owner.Flush(); err != nil {
			t.Fatal(err)
		}
		if msg, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			t.Errorf("a worker that listens to %s hears %s", subject, msg.Subject)
		}
	}
	if err := worker.Flush(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); refusals.Load() < 10 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := refusals.Load(); n < 10 {
		t.Errorf("the broker refused %d times only", n)
	}
}
