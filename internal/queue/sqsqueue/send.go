package sqsqueue

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/queue"
)

// express is how many messages of a group go to the first queue. A job of this many images is among the first wherever it
// comes, and large jobs send no more than this many in front of it.
const express = 16

// sendersAtOnce is how many batches of one Send are on their way at a time.
const sendersAtOnce = 4

// maxRequest is the most bytes of one SendMessageBatch, all bodies and attributes together
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html). A full batch of the longest bodies, even
// in base64, is below it; were [queue.MaxBody] raised, this line would not compile.
const maxRequest = 1 << 20

const _ = uint(maxRequest - batchSize*(queue.MaxBody/3*4+4+1024))

// Message attributes.
const (
	idAttribute       = "id"
	groupAttribute    = "group" // besides MessageGroupId, which not every server gives back
	encodingAttribute = "encoding"
	inBase64          = "base64"
)

// Send implements [queue.Queue].
func (q *Queue) Send(ctx context.Context, msgs ...queue.Message) error {
	if err := queue.Check(msgs...); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	var front, bulk []queue.Message
	for _, m := range msgs {
		if q.express(m.Group) {
			front = append(front, m)
		} else {
			bulk = append(bulk, m)
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(sendersAtOnce)
	inBatches(gctx, group, front, func(ctx context.Context, batch []queue.Message) ([]failure, error) {
		return q.send(ctx, q.front, batch)
	})
	inBatches(gctx, group, bulk, func(ctx context.Context, batch []queue.Message) ([]failure, error) { return q.send(ctx, q.bulk, batch) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("send %d messages to queue %s: %w", len(msgs), q.front.name, awsconn.Explain(ctx, err))
	}
	return nil
}

// express counts one more message of the group and reports whether it belongs to the first of it. Messages without a group are each one of
// their own.
func (q *Queue) express(group string) bool {
	return group == "" || q.sent.Change(group, func(n int) int { return n + 1 }) <= express
}

func (q *Queue) send(ctx context.Context, l lane, batch []queue.Message) ([]failure, error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: &l.url}
	for i, m := range batch {
		in.Entries = append(in.Entries, encode(i, m))
	}
	out, err := q.client.SendMessageBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	return failures(out.Failed), nil
}

func encode(i int, m queue.Message) types.SendMessageBatchRequestEntry {
	body := string(m.Body)
	e := types.SendMessageBatchRequestEntry{
		Id: aws.String(strconv.Itoa(i)), MessageAttributes: map[string]types.MessageAttributeValue{idAttribute: text(m.ID)},
	}
	if m.Group != "" {
		e.MessageGroupId, e.MessageAttributes[groupAttribute] = aws.String(m.Group), text(m.Group)
	}
	if !plain(body) {
		body = base64.StdEncoding.EncodeToString(m.Body) + "=" // one more, since SQS takes no body of no bytes
		e.MessageAttributes[encodingAttribute] = text(inBase64)
	}
	e.MessageBody = &body
	return e
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

// plain reports whether every server takes the text as it is: it has one character at least and only those of XML 1.0
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html) up to U+FFFD.
func plain(body string) bool {
	for _, r := range body {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r > '\uFFFD' {
			return false
		}
	}
	return body != ""
}
