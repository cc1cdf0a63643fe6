// Package natsqueue is the queue on NATS JetStream: a server embedded in the process, or a cluster.
//
// # The life of a message here
//
// A work-queue stream on disk has 16 lanes, which are subjects, and one durable pull consumer for each. A
// message goes to the lane where others of its group wait, and otherwise to the one where least waits; a receiver
// takes from the lanes that hold anything in turn. So a job of five images never waits behind one of ten
// thousand, unless there are sixteen of those.
//
// A receiver that finds nothing leaves a pull request for one message at every lane, all with the same
// reply subject, to which it has subscribed for one message. The server drops the subscription with the
// first message that it sends there, and a message that finds no subscriber goes back to its lane at
// once (didNotDeliver in nats-server's consumer.go). So an idle receiver hears of a message in the time of
// one hop, and never holds more than it asked for.
//
// # Promises
//
// Sent means stored by the stream, so it means on disk where the server syncs always, as natsembed does, and
// stored by a majority where there are replicas. Consumers have no limit of deliveries: past such a limit
// JetStream neither delivers a message nor counts it nor removes it.
//
// # Not promised
//
// An ack is not answered; one that is lost with the server means one more delivery. Attempt may be one too
// high for a message that was sent to a receiver which another lane had just served, and may lose its
// last second when the server is killed. In a cluster, such a message may have to wait for its lease to
// pass.
//
// # Costs
//
// A Send costs one question for the lanes' counts at most five times a second. A Receive that finds messages costs one such question and one pull for each lane that it
// takes from; one that waits costs 16 pull requests every few seconds.
package natsqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/queue"
)

const (
	// dedupWindow is how long the stream remembers the IDs that were sent.
	dedupWindow = 2 * time.Minute

	// answerTimeout bounds the wait for an answer of the server, also while the connection is being made anew.
	answerTimeout = 10 * time.Second

	// openTimeout bounds Open. A new queue takes the disk a tenth of a second, and a busy disk far longer.
	openTimeout = 30 * time.Second

	// headerRoom is the most bytes that our headers take.
	headerRoom = 1 << 10

	groupHeader = "Ocelli-Group"
)

// Config describes the queue. All processes that share it give the same.
type Config struct {
	// Name is the name of the stream and the first part of its subjects: letters, digits, "-" and "_".
	Name string
	// Lease is how long a delivery belongs to its receiver.
	Lease time.Duration
	// Replicas is on how many servers of a cluster each message is stored, 1 when it is 0.
	Replicas int
	// MaxMessages and MaxBytes bound what waits; Send gives [queue.ErrFull] beyond. 0 is no bound, but for
	// the store's own.
	MaxMessages int64
	MaxBytes    int64
}

// Queue implements [queue.Queue].
type Queue struct {
	nc   *nats.Conn
	cfg  Config
	mu   sync.Mutex
	turn int // the lane that is first at the next Receive

	board board
}

// Open makes the stream and its consumers where they are missing, changes them where they differ from cfg,
// and returns the queue. It does not own nc and needs no closing.
func Open(ctx context.Context, nc *nats.Conn, cfg Config) (*Queue, error) {
	if cfg.Name == "" || strings.Trim(cfg.Name, nameChars) != "" {
		return nil, fmt.Errorf("the queue's name %q must be made of letters, digits, - and _", cfg.Name)
	}
	if cfg.Lease < 100*time.Millisecond {
		return nil, fmt.Errorf("open queue %s: a lease of %v is too short", cfg.Name, cfg.Lease)
	}
	cfg.Replicas = max(cfg.Replicas, 1)
	q := &Queue{nc: nc, cfg: cfg, turn: int(time.Now().UnixNano() % lanes)}
	limited, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := q.reconcile(limited); err != nil {
		return nil, fmt.Errorf("open queue %s: %w", cfg.Name, err)
	}
	return q, nil
}

// Attach returns a queue that is there, for counting and purging it: nothing of it is made or changed. Of cfg only Name is used.
func Attach(ctx context.Context, nc *nats.Conn, cfg Config) (*Queue, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := js.Stream(ctx, cfg.Name); err != nil {
		return nil, fmt.Errorf("look for queue %s: %w", cfg.Name, err)
	}
	return &Queue{nc: nc, cfg: cfg}, nil
}

// ReceiverSubjects are the subjects to which a process must be allowed to publish that opens a queue which is there, receives from it and
// settles what it received. With them it can neither send messages nor change or remove the queue.
func ReceiverSubjects(name string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + name, "$JS.API.CONSUMER.LIST." + name, "$JS.API.CONSUMER.MSG.NEXT." + name + ".*", "$JS.ACK." + name + ".>",
	}
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

func (q *Queue) subject(lane int) string  { return fmt.Sprintf("%s.lane.%d", q.cfg.Name, lane) }
func (q *Queue) consumer(lane int) string { return fmt.Sprintf("lane-%d", lane) }

// next is the subject of pull requests for a lane.
func (q *Queue) next(lane int) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + q.cfg.Name + "." + q.consumer(lane)
}

// reconcile makes the server have what cfg describes.
func (q *Queue) reconcile(ctx context.Context) error {
	js, err := jetstream.New(q.nc)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, q.cfg.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = js.CreateStream(ctx, q.streamConfig())
	case err == nil:
		if want := q.overlay(stream.CachedInfo().Config); !reflect.DeepEqual(want, stream.CachedInfo().Config) {
			stream, err = js.UpdateStream(ctx, want)
		}
	}
	if err != nil {
		return fmt.Errorf("make the stream: %w", err)
	}
	have := make(map[string]jetstream.ConsumerConfig)
	list := stream.ListConsumers(ctx)
	for info := range list.Info() {
		have[info.Name] = info.Config
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("list the consumers: %w", err)
	}
	var all errgroup.Group // each waits for the disk several times
	all.SetLimit(4)
	for lane := range lanes {
		want := q.consumerConfig(lane)
		if got, ok := have[want.Durable]; ok && sameConsumer(got, want) {
			continue
		}
		all.Go(func() error {
			if _, err := stream.CreateOrUpdateConsumer(ctx, want); err != nil {
				return fmt.Errorf("make the consumer %s: %w", want.Durable, err)
			}
			return nil
		})
	}
	return all.Wait()
}

func (q *Queue) streamConfig() jetstream.StreamConfig {
	return q.overlay(jetstream.StreamConfig{
		Name:       q.cfg.Name,
		Retention:  jetstream.WorkQueuePolicy,
		Storage:    jetstream.FileStorage,
		MaxMsgSize: queue.MaxBody + headerRoom,
	})
}

// overlay returns the configuration with those parts set that Open may change in a stream that exists.
func (q *Queue) overlay(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.Subjects = []string{q.cfg.Name + ".lane.*"}
	c.Discard = jetstream.DiscardNew
	c.Duplicates = dedupWindow
	c.AllowAtomicPublish = true
	c.Replicas = q.cfg.Replicas
	c.MaxMsgs = orUnlimited(q.cfg.MaxMessages)
	c.MaxBytes = orUnlimited(q.cfg.MaxBytes)
	return c
}

func orUnlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}

func (q *Queue) consumerConfig(lane int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       q.consumer(lane),
		FilterSubject: q.subject(lane),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       q.cfg.Lease,
		MaxDeliver:    -1,
		MaxAckPending: -1,   // the default of 1000 would bound the messages in all workers' hands
		MaxWaiting:    8192, // the default of 512 would bound the idle workers
	}
}

func sameConsumer(a, b jetstream.ConsumerConfig) bool {
	return a.FilterSubject == b.FilterSubject && a.AckPolicy == b.AckPolicy && a.AckWait == b.AckWait &&
		a.MaxDeliver == b.MaxDeliver && a.MaxAckPending == b.MaxAckPending && a.MaxWaiting == b.MaxWaiting
}

// Purge removes all messages, leased ones too.
func (q *Queue) Purge(ctx context.Context) error {
	var resp struct{ apiError }
	if err := q.ask(ctx, "$JS.API.STREAM.PURGE."+q.cfg.Name, nil, &resp); err != nil {
		return fmt.Errorf("purge queue %s: %w", q.cfg.Name, err)
	}
	return nil
}

// apiError is the part of an answer of the JetStream API that tells of a failure.
type apiError struct {
	Error *jetstream.APIError `json:"error"`
}

func (e apiError) failure() error {
	if e.Error == nil {
		return nil
	}
	return e.Error
}

// ask makes one call of the JetStream API.
func (q *Queue) ask(ctx context.Context, subject string, req, resp any) error {
	var body []byte
	if req != nil {
		var err error
		if body, err = json.Marshal(req); err != nil {
			return err
		}
	}
	msg, err := q.request(ctx, nats.NewMsg(subject), body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(msg.Data, resp); err != nil {
		return fmt.Errorf("read the answer of the message server: %w", err)
	}
	if r, ok := resp.(interface{ failure() error }); ok {
		return r.failure()
	}
	return nil
}

// request sends a message and waits for the one answer to it.
func (q *Queue) request(ctx context.Context, msg *nats.Msg, body []byte) (*nats.Msg, error) {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	msg.Data = body
	answer, err := q.nc.RequestMsgWithContext(limited, msg)
	return answer, q.explain(ctx, err)
}

// explain turns the client's errors into sentences; ctx is the caller's own.
func (q *Queue) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrNoResponders):
		return errors.New("the message server has no such queue, or its JetStream is switched off or out of space")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the message server gave no answer within %v; its log says why, a full disk for one", answerTimeout)
	}
	return err
}
