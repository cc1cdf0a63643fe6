package sqsnotify

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	// pollWait is how long one poll waits.
	pollWait = 20 * time.Second

	// keptFor is how long an inbox keeps what its owner does not read.
	keptFor = 5 * time.Minute

	// hiddenFor is how long a notice that was read has to be deleted, before it comes again and is passed over.
	hiddenFor = time.Minute

	// errorPause is the pause after a poll that failed.
	errorPause = 2 * time.Second

	// mostPending bounds the notices that wait for one slow subscriber.
	mostPending = 4096

	// mostSeen is how many notices are remembered, each of which may come again.
	mostSeen = 4096
)

// inbox is the queue of one topic and one process.
type inbox struct {
	bus   *Bus
	topic string
	url   string
	stop  context.CancelFunc
	done  chan struct{} // closed when polling has ended

	mu          sync.Mutex
	subscribers []*subscriber

	seen map[string]bool // of the polling goroutine alone
	ring []string        // the same in order
}

// open makes the queue and polls it until close.
func (b *Bus) open(ctx context.Context, topic string) (*inbox, error) {
	url, err := b.make(ctx, topic)
	if err != nil {
		return nil, err
	}
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	in := &inbox{bus: b, topic: topic, url: url, stop: stop, done: make(chan struct{}), seen: map[string]bool{}}
	go in.run(polling)
	return in, nil
}

// make makes a queue for a topic.
func (b *Bus) make(ctx context.Context, topic string) (url string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	out, err := b.client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName:  aws.String(b.of(topic) + strings.ToLower(rand.Text()[:12])),
		Attributes: map[string]string{string(types.QueueAttributeNameMessageRetentionPeriod): strconv.Itoa(int(keptFor.Seconds()))},
		Tags:       alive(),
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.QueueUrl), nil
}

// run polls until ctx ends, and keeps the bus tidy meanwhile.
func (in *inbox) run(ctx context.Context) {
	defer close(in.done)
	told := time.Now()
	for ctx.Err() == nil {
		err := in.poll(ctx)
		if gone(err) { // somebody has deleted it: SQS does not let the name be used again at once
			url, failed := in.bus.make(ctx, in.topic)
			if err = failed; err == nil {
				in.url = url
			}
		}
		if err == nil && time.Since(told) > aliveEvery {
			told = time.Now()
			err = in.bus.tellAlive(ctx, in.url)
		}
		if err == nil {
			err = in.bus.sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			in.bus.log.Debug("notices cannot be heard; trying again", "topic", in.topic, "error", err)
			select {
			case <-time.After(errorPause):
			case <-ctx.Done():
			}
		}
	}
}

// poll waits for notices and hands them on.
func (in *inbox) poll(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, pollWait+requestTimeout)
	defer cancel()
	out, err := in.bus.client.ReceiveMessage(limited, &sqs.ReceiveMessageInput{
		QueueUrl: &in.url, MaxNumberOfMessages: 10, WaitTimeSeconds: int32(pollWait.Seconds()), VisibilityTimeout: int32(hiddenFor.Seconds()),
	})
	if err != nil || len(out.Messages) == 0 {
		return err
	}
	read := &sqs.DeleteMessageBatchInput{QueueUrl: &in.url}
	for i, m := range out.Messages {
		read.Entries = append(read.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		body, err := decode(aws.ToString(m.Body))
		if err == nil && in.first(aws.ToString(m.MessageId)) {
			in.hand(body)
		}
	}
	_, err = in.bus.client.DeleteMessageBatch(limited, read)
	return err
}

// first reports whether a notice comes for the first time, as far as is remembered.
func (in *inbox) first(id string) bool {
	if in.seen[id] {
		return false
	}
	in.seen[id] = true
	if in.ring = append(in.ring, id); len(in.ring) > mostSeen {
		delete(in.seen, in.ring[0])
		in.ring = in.ring[1:]
	}
	return true
}

// hand gives a notice to all subscribers.
func (in *inbox) hand(body []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range in.subscribers {
		select {
		case s.pending <- body:
		default: // it is too slow
		}
	}
}

// close ends polling and deletes the queue. Where that fails the queue is swept later.
func (in *inbox) close() {
	in.stop()
	<-in.done
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	_, _ = in.bus.client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &in.url})
}

// subscriber calls one function.
type subscriber struct {
	pending chan []byte
	stopped chan struct{}
	idle    sync.Mutex // held while fn runs
}

func (in *inbox) add(fn func(body []byte)) *subscriber {
	s := &subscriber{pending: make(chan []byte, mostPending), stopped: make(chan struct{})}
	in.mu.Lock()
	in.subscribers = append(in.subscribers, s)
	in.mu.Unlock()
	go s.run(fn)
	return s
}

// remove takes a subscriber out and reports whether it was the last.
func (in *inbox) remove(s *subscriber) (last bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.subscribers = slices.DeleteFunc(in.subscribers, func(other *subscriber) bool { return other == s })
	return len(in.subscribers) == 0
}

func (s *subscriber) run(fn func(body []byte)) {
	for {
		select {
		case <-s.stopped:
			return
		case body := <-s.pending:
			s.call(fn, body)
		}
	}
}

// call calls fn unless the subscription has ended by now.
func (s *subscriber) call(fn func(body []byte), body []byte) {
	s.idle.Lock()
	defer s.idle.Unlock()
	select {
	case <-s.stopped:
	default:
		fn(body)
	}
}

// end returns when fn does not run and will not any more.
func (s *subscriber) end() {
	close(s.stopped)
	s.idle.Lock()
	defer s.idle.Unlock()
}
