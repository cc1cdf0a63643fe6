package sqsnotify

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/notify/notifytest"
)

func open(t *testing.T, server *awstest.Server, name string) *Bus {
	t.Helper()
	b, err := New(server.Config(), name, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBus(t *testing.T) {
	server := awstest.SQS(t)
	notifytest.Run(t, func(t *testing.T) (notify.Bus, notify.Bus) {
		name := awstest.Name()
		return open(t, server, name), open(t, server, name)
	})
}

// queues returns the names of the bus's queues.
func (b *Bus) queues(t *testing.T) []string {
	t.Helper()
	urls, err := b.list(t.Context(), b.all())
	if err != nil {
		t.Fatal(err)
	}
	return urls
}

// until waits for a condition on a real server.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s, for a minute", what)
		}
	}
}

func TestQueuesComeAndGoWithSubscriptions(t *testing.T) {
	t.Parallel()
	b := open(t, awstest.SQS(t), awstest.Name())
	first, err := b.Subscribe(t.Context(), "a", func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.Subscribe(t.Context(), "a", func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.queues(t); len(got) != 1 || !strings.Contains(got[0], b.of("a")) {
		t.Errorf("two subscriptions of one process and topic have the queues %q", got)
	}
	first()
	if got := b.queues(t); len(got) != 1 {
		t.Errorf("with one subscription left there are the queues %q", got)
	}
	second()
	if got := b.queues(t); len(got) != 0 {
		t.Errorf("after the last subscription there are the queues %q", got)
	}
}

func TestQueuesOfTheDeadAreSwept(t *testing.T) {
	t.Parallel()
	server, name := awstest.SQS(t), awstest.Name()
	dead, other := open(t, server, name), open(t, server, awstest.Name())
	url, err := dead.make(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.make(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	fresh, err := dead.make(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.client.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: &url, Tags: map[string]string{aliveTag: "1600000000"}}); err != nil {
		t.Fatal(err)
	}
	living := open(t, server, name)
	stop, err := living.Subscribe(t.Context(), "b", func([]byte) {})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := living.Publish(t.Context(), "b", nil); err != nil { // ends the first poll, after which the sweep comes
		t.Fatal(err)
	}
	until(t, "a stale queue was not swept", func() bool { return len(living.queues(t)) == 2 })
	if got := strings.Join(living.queues(t), " "); !strings.Contains(got, fresh) {
		t.Errorf("what is left is %s, without the fresh queue", got)
	}
	if len(other.queues(t)) != 1 {
		t.Error("the queue of another bus was swept")
	}
}

func TestSubscribersHearAgainAfterAnOutage(t *testing.T) {
	t.Parallel()
	server := awstest.SQS(t)
	b := open(t, server, awstest.Name())
	heard := make(chan string, 100)
	stop, err := b.Subscribe(t.Context(), "a", func(body []byte) { heard <- string(body) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	server.Stop()
	if err := b.Publish(t.Context(), "a", []byte("lost")); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("published to a server that is down: %v", err)
	}
	server.Start()
	until(t, "nothing was heard after an outage", func() bool {
		if err := b.Publish(t.Context(), "a", []byte("back")); err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-heard:
			return s == "back"
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
}
