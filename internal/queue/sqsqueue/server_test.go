package sqsqueue

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/queue"
)

// messages returns n messages of a group.
func messages(group string, n int) []queue.Message {
	var all []queue.Message
	for i := range n {
		all = append(all, queue.Message{ID: fmt.Sprintf("%s-%d", group, i), Group: group, Body: []byte("x")})
	}
	return all
}

// take receives n messages within a minute.
func take(t *testing.T, q *Queue, n int) []queue.Delivery {
	t.Helper()
	var ds []queue.Delivery
	for end := time.Now().Add(time.Minute); len(ds) < n; {
		more, err := q.Receive(t.Context(), min(n-len(ds), 10), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if ds = append(ds, more...); time.Now().After(end) {
			t.Fatalf("%d of %d messages within a minute", len(ds), n)
		}
	}
	return ds
}

func backlog(t *testing.T, q *Queue) int64 {
	t.Helper()
	s, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Exact {
		t.Error("the counts of SQS are approximate, and said to be exact")
	}
	return s.Backlog()
}

func TestNothingIsLostInAnOutage(t *testing.T) {
	t.Parallel()
	server := awstest.SQS(t)
	q := open(t, server, 30*time.Second)
	if err := q.Send(t.Context(), messages("a", 50)...); err != nil {
		t.Fatal(err)
	}
	held := take(t, q, 5)
	waiting := make(chan error, 1)
	server.Stop()
	go func() {
		_, err := q.Receive(t.Context(), 1, 20*time.Second)
		waiting <- err
	}()
	for what, err := range map[string]error{
		"send": q.Send(t.Context(), messages("b", 1)...), "ack": q.Ack(t.Context(), held[0]), "receive": <-waiting,
	} {
		if err == nil || !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("%s to a server that is down: %v", what, err)
		}
	}
	server.Start()
	if err := q.Ack(t.Context(), held...); err != nil {
		t.Fatal(err)
	}
	if err := q.Ack(t.Context(), take(t, q, 45)...); err != nil {
		t.Fatal(err)
	}
	if n := backlog(t, q); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// deadLetters: what was put aside is looked for when there is nothing else to do.
func deadLetters(t *testing.T, server *awstest.Server) {
	q := open(t, server, 30*time.Second)
	dead, err := q.client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &q.dead.url, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"2"}`, dead.Attributes["QueueArn"])
	_, err = q.client.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &q.front.url, Attributes: map[string]string{"RedrivePolicy": policy}})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Send(t.Context(), messages("", 1)...); err != nil {
		t.Fatal(err)
	}
	q.lookedAtDead.Store(time.Now().Unix()) // it was looked at just now
	for range 2 {
		if err := q.Nack(t.Context(), 0, take(t, q, 1)...); err != nil {
			t.Fatal(err)
		}
	}
	if ds, err := q.Receive(t.Context(), 1, 0); err != nil || len(ds) != 0 {
		t.Fatalf("after the last delivery: %v, %v", ds, err)
	}
	if n := backlog(t, q); n != 1 {
		t.Fatalf("the message that was put aside is counted as %d", n)
	}
	q.lookedAtDead.Store(0) // it is time to look again
	ds := take(t, q, 1)
	if ds[0].ID != "-0" {
		t.Errorf("what came back is %q", ds[0].ID)
	}
	if err := q.Ack(t.Context(), ds...); err != nil {
		t.Fatal(err)
	}
	if n := backlog(t, q); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

func foreign(t *testing.T, server *awstest.Server) {
	q := open(t, server, 30*time.Second)
	if _, err := q.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &q.front.url, MessageBody: aws.String("hello")}); err != nil {
		t.Fatal(err)
	}
	d := take(t, q, 1)[0]
	if d.ID == "" || d.Group != "" || string(d.Body) != "hello" || d.Attempt != 1 {
		t.Errorf("got %+v", d)
	}
}

func twelveHours(t *testing.T, server *awstest.Server) {
	q := open(t, server, 30*time.Second)
	if err := q.Send(t.Context(), messages("", 2)...); err != nil {
		t.Fatal(err)
	}
	ds := take(t, q, 2)
	ds[0].Receipt.(*receipt).cap = time.Now().Add(10 * time.Second) // it was received nearly twelve hours ago
	if err := q.Extend(t.Context(), ds...); !errors.Is(err, queue.ErrLeaseLost) {
		t.Errorf("extending past the most that SQS grants: %v", err)
	}
	if err := q.Extend(t.Context(), ds[1]); err != nil {
		t.Errorf("the other message: %v", err)
	}
}

func reopened(t *testing.T, server *awstest.Server) {
	q := open(t, server, 30*time.Second)
	if err := q.Send(t.Context(), messages("a", 30)...); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), server.Config(), Config{Name: q.front.name, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if n := backlog(t, again); n != 30 {
		t.Errorf("opened again, the queue has %d messages", n)
	}
	attached, err := Attach(t.Context(), server.Config(), Config{Name: q.front.name})
	if err != nil {
		t.Fatal(err)
	}
	if err := attached.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := backlog(t, q); n != 0 {
		t.Errorf("%d messages after a purge", n)
	}
}

func refused(t *testing.T, server *awstest.Server) {
	conn := server.Config()
	for _, cfg := range []Config{{Lease: time.Minute}, {Name: "a.b", Lease: time.Minute}, {Name: strings.Repeat("a", 71), Lease: time.Minute}, {Name: "q"}, {Name: "q", Lease: 13 * time.Hour}} {
		if _, err := Open(t.Context(), conn, cfg); err == nil {
			t.Errorf("opened %+v", cfg)
		}
	}
	if _, err := Attach(t.Context(), conn, Config{Name: "nothing-here"}); err == nil || !strings.Contains(err.Error(), "the queue does not exist") {
		t.Errorf("attached to a queue that is not there: %v", err)
	}
	conn.BaseEndpoint = aws.String("http://127.0.0.1:1")
	if _, err := Open(t.Context(), conn, Config{Name: "q", Lease: time.Minute}); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("opened a queue of no server: %v", err)
	}
}
