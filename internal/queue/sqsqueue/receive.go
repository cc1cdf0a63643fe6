package sqsqueue

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/queue"
)

const (
	// parkTime is how long one long poll waits. A poll that nobody waits for any more goes on for at most this long.
	parkTime = 3 * time.Second

	// pollTimeout bounds a request beyond its wait.
	pollTimeout = 10 * time.Second

	// deadEvery is how often a receiver that finds nothing else looks into NAME-dead.
	deadEvery = 30 * time.Second
)

// Receive implements [queue.Queue].
func (q *Queue) Receive(ctx context.Context, max int, wait time.Duration) ([]queue.Delivery, error) {
	if err := queue.CheckReceive(max); err != nil {
		return nil, err
	}
	end := time.Now().Add(min(wait, queue.MaxWait))
	for {
		ds, err := q.sweep(ctx, max)
		left := time.Until(end)
		if err != nil || len(ds) > 0 || left <= 0 {
			return ds, err
		}
		if left < time.Second { // SQS counts in seconds
			select {
			case <-time.After(left):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			continue
		}
		if ds, err = q.park(ctx, max, min(left, parkTime)); err != nil || len(ds) > 0 {
			return ds, err
		}
	}
}

// sweep takes what is there, up to max messages. What it has taken before an error it returns without the error.
func (q *Queue) sweep(ctx context.Context, max int) ([]queue.Delivery, error) {
	lanes := []lane{q.front, q.bulk}
	if q.turns.Add(1)%2 == 0 {
		lanes[0], lanes[1] = lanes[1], lanes[0]
	}
	if q.foreign {
		lanes = []lane{q.front}
	}
	var ds []queue.Delivery
	for i := 0; i < len(lanes) && len(ds) < max; i++ {
		got, err := q.pollFor(ctx, lanes[i], max-len(ds), 0)
		if err != nil && len(ds) == 0 {
			return nil, err
		}
		ds = append(ds, got...)
		if i == 1 && len(ds) == 0 && q.deadIsDue() {
			lanes = append(lanes, q.dead)
		}
	}
	return ds, nil
}

// deadIsDue reports whether it is time to look into NAME-dead, to one caller of each period.
func (q *Queue) deadIsDue() bool {
	last, now := q.lookedAtDead.Load(), time.Now().Unix()
	return now-last >= int64(deadEvery.Seconds()) && q.lookedAtDead.CompareAndSwap(last, now)
}

// park waits at the lanes until one has messages. The other's poll goes on unattended until it ends.
func (q *Queue) park(ctx context.Context, max int, wait time.Duration) ([]queue.Delivery, error) {
	ctx, turnAway := context.WithCancel(ctx)
	defer turnAway()
	type answer struct {
		ds  []queue.Delivery
		err error
	}
	answers := make(chan answer)
	polls := map[lane]int{q.front: max}
	if !q.foreign {
		polls[q.bulk] = 1 // what is there came behind messages that are in front
	}
	for l, most := range polls {
		go func() {
			ds, err := q.pollFor(ctx, l, most, wait)
			select {
			case answers <- answer{ds, err}:
			case <-ctx.Done():
				q.giveBack(ds)
			}
		}()
	}
	for range polls {
		select {
		case a := <-answers:
			if a.err != nil || len(a.ds) > 0 {
				return a.ds, a.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, nil
}

// pollFor polls a lane for somebody who may turn away, which is when ctx ends. A request that were broken off then could take messages
// with it until their lease passes, so it is seen through and what it brings is given back.
func (q *Queue) pollFor(ctx context.Context, l lane, max int, wait time.Duration) ([]queue.Delivery, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var (
		ds   []queue.Delivery
		err  error
		done = make(chan struct{})
	)
	go func() {
		defer close(done)
		ds, err = q.poll(context.WithoutCancel(ctx), l, max, wait)
	}()
	select {
	case <-done:
		return ds, err
	case <-ctx.Done():
		go func() {
			<-done
			q.giveBack(ds)
		}()
		return nil, ctx.Err()
	}
}

// giveBack makes messages that reached nobody available again. Where that fails their leases pass.
func (q *Queue) giveBack(ds []queue.Delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
	defer cancel()
	_ = q.Nack(ctx, 0, ds...)
}

// poll makes one request.
func (q *Queue) poll(ctx context.Context, l lane, max int, wait time.Duration) ([]queue.Delivery, error) {
	limited, cancel := context.WithTimeout(ctx, wait+pollTimeout)
	defer cancel()
	out, err := q.client.ReceiveMessage(limited, &sqs.ReceiveMessageInput{
		QueueUrl: &l.url, MaxNumberOfMessages: int32(max), WaitTimeSeconds: int32(wait / time.Second), VisibilityTimeout: seconds(q.lease),
		MessageAttributeNames:       []string{idAttribute, groupAttribute, encodingAttribute},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameApproximateReceiveCount},
	})
	if err != nil {
		return nil, fmt.Errorf("receive from queue %s: %w", l.name, awsconn.Explain(ctx, err))
	}
	now := time.Now()
	ds := make([]queue.Delivery, 0, len(out.Messages))
	for _, m := range out.Messages {
		ds = append(ds, q.decode(l, m, now))
	}
	return ds, nil
}

// decode never fails: what somebody else has put into the queue is for the worker to judge.
func (q *Queue) decode(l lane, m types.Message, now time.Time) queue.Delivery {
	attribute := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	d := queue.Delivery{Message: queue.Message{ID: attribute(idAttribute), Group: attribute(groupAttribute), Body: []byte(aws.ToString(m.Body))}}
	if d.ID == "" {
		d.ID = aws.ToString(m.MessageId)
	}
	if attribute(encodingAttribute) == inBase64 {
		if body, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(string(d.Body), "=")); err == nil {
			d.Body = body
		}
	}
	d.Attempt, _ = strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	d.Attempt = max(d.Attempt, 1)
	r := &receipt{lane: l, handle: aws.ToString(m.ReceiptHandle), until: q.leaseFrom(now), cap: now.Add(leaseCap - pollTimeout)}
	d.LeaseUntil, d.Receipt = r.until, r
	return d
}

// receipt is a lease.
type receipt struct {
	lane   lane
	handle string
	cap    time.Time // when SQS takes the message back, however often the lease was extended

	mu    sync.Mutex
	until time.Time // zero once the delivery is settled
}

// leaseFrom is when a lease that began at or just before start is taken to have passed: a little early, since
// a late Nack would take the message from its next holder.
func (q *Queue) leaseFrom(start time.Time) time.Time { return start.Add(q.lease - q.lease/20) }
