// Package sqslead elects one controller with a token that lies in a FIFO queue of Amazon SQS.
//
// # The life of a lead here
//
// All tokens are messages of one group, and SQS delivers none of a group while another of it is in somebody's hands
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html). So who has received a
// token leads, however many tokens there are; a candidate that finds the queue empty puts one in. The holder makes its lease of the
// token anew every [pause]. At the end it puts a fresh token behind its own, which nobody is given yet, and deletes its own.
//
// # Promises
//
// Two holders never overlap. A holder reckons its lease from before it asked, by its own monotonic clock, and stops acting
// [margin] before SQS can give the token to another, whether it hears from SQS or not. A renewal whose answer comes later than that does not count.
//
// # Not promised
//
// SQS lets nobody hold a message for over 12 hours, so after 11 a holder puts its things in order and stands again. A machine that was
// suspended does not count that time: its controller may act for up to [lease] after it wakes.
//
// # Permissions
//
// On the queue NAME.fifo sqs:GetQueueUrl, sqs:GetQueueAttributes, sqs:SendMessage, sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:ChangeMessageVisibility; sqs:CreateQueue and sqs:TagQueue where it is not there yet.
//
// # Costs
//
// One request every 1.5 s of the holder, and one every 5 s of each other candidate.
package sqslead

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	// lease is how long SQS leaves the token with a holder that falls silent.
	lease = 6 * time.Second
	// margin is how long before the end of its lease a holder stops to act.
	margin = 1500 * time.Millisecond
	// pause lies between two renewals, and between two tries after an error.
	pause = 1500 * time.Millisecond
	// pollWait is how long one question of a candidate waits for the token.
	pollWait = 5 * time.Second
	// answerTimeout bounds the wait for one answer, beyond pollWait.
	answerTimeout = 2 * time.Second
	// longestTerm is how long one lead lasts at most.
	longestTerm = 11 * time.Hour

	group = "lead"
)

// Leadership implements [scale.Leadership].
type Leadership struct {
	client *sqs.Client
	url    string
	holder string
	log    *slog.Logger
	held   *token // while this process leads
}

var (
	_ scale.Leadership = (*Leadership)(nil)
	_ scale.Lease      = (*Leadership)(nil)
)

// Open makes the queue where it is missing, under the name with ".fifo" behind it, and returns a candidate. holder is what a person who
// looks into the queue reads of it: its machine and process.
func Open(ctx context.Context, conn aws.Config, name, holder string, log *slog.Logger) (*Leadership, error) {
	l := &Leadership{client: sqs.NewFromConfig(conn), holder: holder, log: log}
	name += ".fifo"
	found, err := l.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
	if err == nil {
		l.url = aws.ToString(found.QueueUrl)
		return l, nil
	}
	if missing := (*types.QueueDoesNotExist)(nil); errors.As(err, &missing) {
		made, failed := l.client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName:  &name,
			Attributes: map[string]string{string(types.QueueAttributeNameFifoQueue): "true"},
			Tags:       map[string]string{"ocelli": "lead"},
		})
		if err = failed; err == nil {
			l.url = aws.ToString(made.QueueUrl)
			return l, nil
		}
	}
	return nil, fmt.Errorf("open the lead %s: %w", name, awsconn.Explain(ctx, err))
}

// token is what a holder has.
type token struct {
	handle string
	until  time.Time // when this process must have stopped acting
}

// Lead implements [scale.Leadership].
func (l *Leadership) Lead(ctx context.Context, fn func(context.Context) error) error {
	return scale.Lead(ctx, l, pause, l.log, func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		defer time.AfterFunc(longestTerm, stop).Stop()
		return fn(ctx)
	})
}

// Take implements [scale.Lease].
func (l *Leadership) Take(ctx context.Context) (time.Time, error) {
	if l.held != nil {
		err := l.renew(ctx, l.held)
		return l.held.until, err
	}
	for {
		t, err := l.take(ctx)
		if err != nil {
			return time.Time{}, err
		}
		if t != nil {
			l.held = t
			return t.until, nil
		}
	}
}

// GiveUp implements [scale.Lease].
func (l *Leadership) GiveUp(ctx context.Context) error {
	t := l.held
	l.held = nil
	return l.handOn(ctx, t)
}

// take waits for the token for a while, and returns nil where another has it.
func (l *Leadership) take(ctx context.Context) (*token, error) {
	if err := l.mint(ctx); err != nil {
		return nil, err
	}
	type answer struct {
		t   *token
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		t, err := l.poll(context.WithoutCancel(ctx))
		answers <- answer{t, err}
	}()
	select {
	case a := <-answers:
		return a.t, a.err
	case <-ctx.Done():
		// The question goes on, and may take the token from those who still stand.
		go func() {
			if a := <-answers; a.t != nil {
				_ = l.handOn(context.WithoutCancel(ctx), a.t) // else the lease passes
			}
		}()
		return nil, ctx.Err()
	}
}

// mint puts a token into a queue that has none.
func (l *Leadership) mint(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	const ready, held = types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	out, err := l.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &l.url, AttributeNames: []types.QueueAttributeName{ready, held}})
	if err != nil {
		return fmt.Errorf("look for who leads: %w", awsconn.Explain(ctx, err))
	}
	if out.Attributes[string(ready)] != "0" || out.Attributes[string(held)] != "0" {
		return nil
	}
	return l.send(ctx)
}

func (l *Leadership) send(ctx context.Context) error {
	_, err := l.client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: &l.url, MessageBody: aws.String("left by " + l.holder), MessageGroupId: aws.String(group), MessageDeduplicationId: aws.String(rand.Text()),
	})
	if err != nil {
		return fmt.Errorf("leave a token: %w", awsconn.Explain(ctx, err))
	}
	return nil
}

// poll asks for the token once. The lease of a token begins when SQS hands it out, which is at the latest when the answer is here.
func (l *Leadership) poll(ctx context.Context) (*token, error) {
	limited, cancel := context.WithTimeout(ctx, pollWait+answerTimeout)
	defer cancel()
	out, err := l.client.ReceiveMessage(limited, &sqs.ReceiveMessageInput{
		QueueUrl: &l.url, MaxNumberOfMessages: 1, WaitTimeSeconds: int32(pollWait.Seconds()), VisibilityTimeout: int32(lease.Seconds()),
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the lead: %w", awsconn.Explain(ctx, err))
	}
	if len(out.Messages) == 0 {
		return nil, nil
	}
	t := &token{handle: aws.ToString(out.Messages[0].ReceiptHandle)}
	// How long the answer was on its way is not known, so the lease is made anew before anything relies on it.
	if err := l.renew(ctx, t); err != nil {
		return nil, err
	}
	return t, nil
}

// renew makes the lease of the token anew.
func (l *Leadership) renew(ctx context.Context, t *token) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	asked := time.Now()
	_, err := l.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &l.url, ReceiptHandle: &t.handle, VisibilityTimeout: int32(lease.Seconds()),
	})
	if err != nil {
		return fmt.Errorf("keep the lead: %w", awsconn.Explain(ctx, err))
	}
	t.until = asked.Add(lease - margin)
	return nil
}

// handOn hands the lead on by a fresh token, since SQS forgets one of 14 days.
func (l *Leadership) handOn(ctx context.Context, t *token) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if !time.Now().Before(t.until) {
		return errors.New("its lease may have passed, and another may have it")
	}
	if err := l.send(ctx); err != nil {
		return err
	}
	if _, err := l.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &l.url, ReceiptHandle: &t.handle}); err != nil {
		return fmt.Errorf("hand the lead on: %w", awsconn.Explain(ctx, err))
	}
	return nil
}
