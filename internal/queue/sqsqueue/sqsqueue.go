// Package sqsqueue is the queue on Amazon SQS, or on any server that speaks its JSON protocol.
//
// # The life of a message here
//
// A queue is three standard queues of SQS: NAME, NAME-bulk and NAME-dead. The first messages of each group go to NAME and the
// rest of a large group to NAME-bulk, and receivers take from the two by turns. So a job of five images never waits behind one of ten
// thousand. Within each, messages carry their group as MessageGroupId, by which SQS itself gives way to quiet groups
// once a noisy one has 30 messages in flight or a tenth of the working time
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html). That alone would not
// do for a fleet of a few workers.
//
// A message that was delivered a thousand times, which no message should be, is moved to NAME-dead by SQS. There it is out of
// the way of the others and not out of the world: receivers look there now and then, and Stats counts it. Who operates the service may set an alarm on that
// queue's ApproximateNumberOfMessagesVisible.
//
// # Promises
//
// SQS answers when a message is stored in several places. Leases are visibility timeouts, in whole seconds.
//
// # Not promised
//
// SQS keeps a message for 14 days at most (the janitor of package retain sends its image again), and a lease for 12 hours in all. It cannot tell a repeated ID. Counts are approximate and may lag
// behind by a minute. Attempt may be one too high for a message that reached a receiver who had just turned away.
//
// # Permissions
//
// On the three queues sqs:GetQueueUrl and sqs:GetQueueAttributes; for web nodes sqs:SendMessage, for workers sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:ChangeMessageVisibility; sqs:CreateQueue and sqs:TagQueue where they are not there yet; sqs:PurgeQueue for `ocelli clean`.
//
// # Costs
//
// A Send or an Ack is one request for ten messages; a Receive is one or two, and one that waits two more every few seconds; Stats is three.
package sqsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/queue"
)

const (
	// retention is how long SQS keeps a message: the most that it offers.
	retention = 14 * 24 * time.Hour

	// maxReceives is after how many deliveries SQS moves a message to NAME-dead: the most that it takes.
	maxReceives = 1000

	// leaseCap is how long a message may be held in all (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html).
	leaseCap = 12 * time.Hour
)

// Config describes the queue. All processes that share it give the same.
type Config struct {
	// Name is that of the first queue: up to 70 letters, digits, "-" and "_".
	Name string
	// Lease is how long a delivery belongs to its receiver: 1 s to 12 h, rounded up to whole seconds.
	Lease time.Duration
	// Foreign takes one queue that belongs to others, which send to it, and makes none beside it: for the events of a bucket. It is
	// to be received from, and not sent to.
	Foreign bool
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,70}$`)

// Queue implements [queue.Queue].
type Queue struct {
	client            *sqs.Client
	lease             time.Duration
	foreign           bool // there is no bulk and no dead
	front, bulk, dead lane
	sent              queue.Groups[int] // messages of each group that this process has sent
	turns             atomic.Uint64     // of front and bulk
	lookedAtDead      atomic.Int64      // when, in seconds of Unix time
}

// lane is one queue of SQS.
type lane struct{ name, url string }

// Open makes the queues of SQS that are missing, takes those that are there as they are, and returns the queue. It needs no closing.
func Open(ctx context.Context, conn aws.Config, cfg Config) (*Queue, error) {
	if cfg.Lease < time.Second || cfg.Lease > leaseCap {
		return nil, fmt.Errorf("open queue %s: a lease of %v is not possible: SQS takes 1s to 12h", cfg.Name, cfg.Lease)
	}
	q, err := newQueue(conn, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Foreign {
		if err := q.front.find(ctx, q.client); err != nil {
			return nil, fmt.Errorf("open queue %s: %w", cfg.Name, awsconn.Explain(ctx, err))
		}
		return q, nil
	}
	if err := q.dead.make(ctx, q.client, nil); err != nil {
		return nil, err
	}
	redrive, err := q.redrive(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range []*lane{&q.front, &q.bulk} {
		if err := l.make(ctx, q.client, map[string]string{string(types.QueueAttributeNameRedrivePolicy): redrive}); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// Attach returns a queue that is there, for counting and purging it: nothing of it is made or changed. Of cfg only Name is used.
func Attach(ctx context.Context, conn aws.Config, cfg Config) (*Queue, error) {
	q, err := newQueue(conn, cfg)
	if err != nil {
		return nil, err
	}
	for _, l := range q.lanes() {
		if err := l.find(ctx, q.client); err != nil {
			return nil, fmt.Errorf("look for queue %s: %w", l.name, awsconn.Explain(ctx, err))
		}
	}
	return q, nil
}

func newQueue(conn aws.Config, cfg Config) (*Queue, error) {
	if !validName.MatchString(cfg.Name) {
		return nil, fmt.Errorf("the queue's name %q must be made of up to 70 letters, digits, - and _", cfg.Name)
	}
	return &Queue{
		client:  sqs.NewFromConfig(conn),
		foreign: cfg.Foreign,
		lease:   time.Duration(seconds(cfg.Lease)) * time.Second,
		front:   lane{name: cfg.Name}, bulk: lane{name: cfg.Name + "-bulk"}, dead: lane{name: cfg.Name + "-dead"},
	}, nil
}

func (q *Queue) lanes() []*lane {
	if q.foreign {
		return []*lane{&q.front}
	}
	return []*lane{&q.front, &q.bulk, &q.dead}
}

// seconds rounds up to the whole seconds that SQS counts in.
func seconds(d time.Duration) int32 { return int32((max(d, 0) + time.Second - 1) / time.Second) }

// find sets the URL of a queue that is there.
func (l *lane) find(ctx context.Context, client *sqs.Client) error {
	out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &l.name})
	if err == nil {
		l.url = aws.ToString(out.QueueUrl)
	}
	return err
}

// make finds the queue, or makes it with the attributes in addition to those that all have.
func (l *lane) make(ctx context.Context, client *sqs.Client, attributes map[string]string) error {
	err := l.find(ctx, client)
	if missing := (*types.QueueDoesNotExist)(nil); errors.As(err, &missing) {
		all := map[string]string{string(types.QueueAttributeNameMessageRetentionPeriod): strconv.Itoa(int(retention.Seconds()))}
		for name, value := range attributes {
			all[name] = value
		}
		out, failed := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &l.name, Attributes: all, Tags: map[string]string{"ocelli": "queue"}})
		if err = failed; err == nil {
			l.url = aws.ToString(out.QueueUrl)
		}
	}
	if err != nil {
		return fmt.Errorf("open queue %s: %w", l.name, awsconn.Explain(ctx, err))
	}
	return nil
}

// redrive is the policy that moves messages to NAME-dead.
func (q *Queue) redrive(ctx context.Context) (string, error) {
	const arn = types.QueueAttributeNameQueueArn
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &q.dead.url, AttributeNames: []types.QueueAttributeName{arn}})
	if err != nil {
		return "", fmt.Errorf("open queue %s: %w", q.dead.name, awsconn.Explain(ctx, err))
	}
	policy, err := json.Marshal(map[string]string{"deadLetterTargetArn": out.Attributes[string(arn)], "maxReceiveCount": strconv.Itoa(maxReceives)})
	return string(policy), err
}

// counts are the attributes that Stats adds up.
var counts = []types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

// Stats implements [queue.Queue]. The age of the oldest message is not known here: SQS tells it to CloudWatch alone.
func (q *Queue) Stats(ctx context.Context) (queue.Stats, error) {
	var ready, leased atomic.Int64
	group, gctx := errgroup.WithContext(ctx)
	for _, l := range q.lanes() {
		group.Go(func() error {
			out, err := q.client.GetQueueAttributes(gctx, &sqs.GetQueueAttributesInput{QueueUrl: &l.url, AttributeNames: counts})
			if err != nil {
				return fmt.Errorf("count queue %s: %w", l.name, awsconn.Explain(ctx, err))
			}
			for i, name := range counts {
				n, err := strconv.ParseInt(out.Attributes[string(name)], 10, 64)
				if err != nil {
					return fmt.Errorf("count queue %s: SQS says %q of %s", l.name, out.Attributes[string(name)], name)
				}
				if i == 0 {
					ready.Add(n)
				} else {
					leased.Add(n)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return queue.Stats{}, err
	}
	return queue.Stats{Ready: ready.Load(), Leased: leased.Load()}, nil
}

// Purge removes all messages, leased ones too. SQS takes up to a minute over it.
func (q *Queue) Purge(ctx context.Context) error {
	for _, l := range q.lanes() {
		_, err := q.client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &l.url})
		if running := (*types.PurgeQueueInProgress)(nil); err != nil && !errors.As(err, &running) {
			return fmt.Errorf("purge queue %s: %w", l.name, awsconn.Explain(ctx, err))
		}
	}
	return nil
}
