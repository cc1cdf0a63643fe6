package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/queue"
)

// Ack implements [queue.Queue].
func (q *Queue) Ack(ctx context.Context, ds ...queue.Delivery) error {
	return q.settle(ctx, "ack", ds, func(r *receipt) bool {
		r.until = time.Time{}
		return true
	}, q.delete)
}

// Extend implements [queue.Queue].
func (q *Queue) Extend(ctx context.Context, ds ...queue.Delivery) error {
	var lost error
	err := q.settle(ctx, "extend", ds, func(r *receipt) bool {
		now := time.Now()
		if !now.Before(r.until) || now.Add(q.lease).After(r.cap) {
			lost = fmt.Errorf("extend: %w", queue.ErrLeaseLost)
			return false
		}
		r.until = q.leaseFrom(now)
		return true
	}, q.holdFor(q.lease))
	return errors.Join(err, lost)
}

// Nack implements [queue.Queue].
func (q *Queue) Nack(ctx context.Context, delay time.Duration, ds ...queue.Delivery) error {
	return q.settle(ctx, "nack", ds, func(r *receipt) bool {
		runs := time.Now().Before(r.until)
		r.until = time.Time{}
		return runs
	}, q.holdFor(min(delay, leaseCap-time.Hour)))
}

// settle asks SQS, with request, for what each lease that note picks is to become. note changes what is known of the lease.
func (q *Queue) settle(ctx context.Context, op string, ds []queue.Delivery, note func(*receipt) bool,
	request func(context.Context, lane, []string) ([]types.BatchResultErrorEntry, error),
) error {
	handles := map[lane][]string{}
	for _, d := range ds {
		r, ok := d.Receipt.(*receipt)
		if !ok {
			return fmt.Errorf("%s: the delivery of %s is not from this queue", op, d.ID)
		}
		r.mu.Lock()
		picked := note(r)
		r.mu.Unlock()
		if picked {
			handles[r.lane] = append(handles[r.lane], r.handle)
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	for l, all := range handles {
		inBatches(gctx, group, all, func(ctx context.Context, batch []string) ([]failure, error) {
			failed, err := request(ctx, l, batch)
			return stillOurs(failures(failed)), err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s: %w", op, awsconn.Explain(ctx, err))
	}
	return nil
}

// stillOurs leaves out what failed since the lease has passed or the message is settled: no harm, and nothing that could be done.
func stillOurs(all []failure) (rest []failure) {
	for _, f := range all {
		switch awsconn.Bare(f.code) {
		case "ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue":
		default:
			rest = append(rest, f)
		}
	}
	return rest
}

func (q *Queue) delete(ctx context.Context, l lane, handles []string) ([]types.BatchResultErrorEntry, error) {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &l.url}
	for i, h := range handles {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &h})
	}
	out, err := q.client.DeleteMessageBatch(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.Failed, nil
}

// holdFor returns the request that hides messages for d from now.
func (q *Queue) holdFor(d time.Duration) func(context.Context, lane, []string) ([]types.BatchResultErrorEntry, error) {
	return func(ctx context.Context, l lane, handles []string) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &l.url}
		for i, h := range handles {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &h, VisibilityTimeout: seconds(d),
			})
		}
		out, err := q.client.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	}
}
