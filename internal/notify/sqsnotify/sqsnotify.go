// Package sqsnotify is the notification bus on Amazon SQS: each process that listens to a topic has a queue of its own for it, so
// that nobody takes what is meant for another.
//
// # The life of a notice here
//
// Subscribe makes the queue NAME-notify-TOPIC-PROCESS, where TOPIC is a hash and PROCESS is drawn by lot, and polls it. Publish
// sends to all queues of the topic, which it finds by the beginning of their names. The queue is deleted when the last subscriber of
// the process stops. One whose process was killed is not: it has a tag that says when its owner was last well, and any other
// process of the bus deletes it an hour after that. Until then it holds what came in the last minutes and costs nothing.
//
// # Not promised
//
// A process that publishes may not know of a new queue for some seconds. A notice may be lost; results that were not
// heard of are found by reading the store.
//
// # Permissions
//
// sqs:ListQueues; on queues called NAME-notify-* sqs:SendMessage for all, and for who listens sqs:CreateQueue, sqs:TagQueue, sqs:ListQueueTags,
// sqs:ReceiveMessage, sqs:DeleteMessage and sqs:DeleteQueue.
//
// # Costs
//
// A Publish is one request for each process that listens; a process that listens makes one every 20 s while nothing comes.
package sqsnotify

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/notify"
)

const (
	// listenersFor is how long the list of a topic's queues is trusted.
	listenersFor = 5 * time.Second

	// requestTimeout bounds one request.
	requestTimeout = 10 * time.Second
)

var validName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,45}$`)

// Bus implements [notify.Bus].
type Bus struct {
	client *sqs.Client
	name   string
	log    *slog.Logger

	mu        sync.Mutex
	inboxes   map[string]*inbox // by topic, of this process
	listeners map[string]listeners
	swept     time.Time
}

// listeners are the queues of a topic.
type listeners struct {
	urls []string
	at   time.Time
}

// New returns a bus whose queues have names that begin with name and "-notify-". It makes no request, and needs no closing beyond the stop of
// its subscriptions.
func New(conn aws.Config, name string, log *slog.Logger) (*Bus, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("open the notification bus: the name %q must be made of up to 45 letters, digits, - and _", name)
	}
	return &Bus{client: sqs.NewFromConfig(conn), name: name, log: log, inboxes: map[string]*inbox{}, listeners: map[string]listeners{}}, nil
}

// all is the beginning of the names of all queues of the bus.
func (b *Bus) all() string { return b.name + "-notify-" }

// of is the beginning of the names of a topic's queues.
func (b *Bus) of(topic string) string {
	sum := sha256.Sum256([]byte(topic))
	return b.all() + hex.EncodeToString(sum[:6]) + "-"
}

// Publish implements [notify.Bus].
func (b *Bus) Publish(ctx context.Context, topic string, body []byte) error {
	if err := notify.CheckMessage(topic, body); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	urls, err := b.find(ctx, topic)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, awsconn.Explain(ctx, err))
	}
	text := encode(body)
	group, gctx := errgroup.WithContext(ctx)
	for _, url := range urls {
		group.Go(func() error {
			_, err := b.client.SendMessage(gctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &text})
			if gone(err) {
				b.forget(topic)
				return nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, awsconn.Explain(ctx, err))
	}
	return nil
}

// find returns the queues of a topic.
func (b *Bus) find(ctx context.Context, topic string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	known := b.listeners[topic]
	b.mu.Unlock()
	if time.Since(known.at) < listenersFor {
		return known.urls, nil
	}
	known = listeners{at: time.Now()}
	var err error
	if known.urls, err = b.list(ctx, b.of(topic)); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.listeners[topic] = known
	return known.urls, nil
}

func (b *Bus) forget(topic string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, topic)
}

// list returns the URLs of the queues whose names begin with prefix.
func (b *Bus) list(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var urls []string
	pages := sqs.NewListQueuesPaginator(b.client, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		urls = append(urls, page.QueueUrls...)
	}
	return urls, nil
}

// gone reports whether an error says that the queue is no more.
func gone(err error) bool {
	missing := (*types.QueueDoesNotExist)(nil)
	return errors.As(err, &missing)
}

// encode makes text of a body, of which SQS takes neither all bytes nor none at all.
func encode(body []byte) string { return "." + base64.StdEncoding.EncodeToString(body) }

func decode(text string) ([]byte, error) {
	if text == "" || text[0] != '.' {
		return nil, errors.New("not a notice")
	}
	return base64.StdEncoding.DecodeString(text[1:])
}

// Subscribe implements [notify.Bus].
func (b *Bus) Subscribe(ctx context.Context, topic string, fn func(body []byte)) (stop func(), err error) {
	if err := notify.CheckTopic(topic); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.inboxes[topic]
	if in == nil {
		if in, err = b.open(ctx, topic); err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", topic, awsconn.Explain(ctx, err))
		}
		b.inboxes[topic] = in
	}
	s := in.add(fn)
	return sync.OnceFunc(func() {
		b.mu.Lock()
		last := in.remove(s)
		if last {
			delete(b.inboxes, topic)
			delete(b.listeners, topic)
		}
		b.mu.Unlock()
		s.end()
		if last {
			in.close()
		}
	}), nil
}
