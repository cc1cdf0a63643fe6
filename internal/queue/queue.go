// Package queue holds one message for each image that waits for a worker.
package queue

import (
	"context"
	"errors"
	"time"
)

// ErrLeaseLost is returned, wrapped, for a delivery whose lease has passed: another may hold it by now.
var ErrLeaseLost = errors.New("the lease has passed")

// ErrFull is returned, wrapped, by Send when the queue takes no more: its limit, or a full disk.
var ErrFull = errors.New("the queue is full")

// Message is what is sent.
type Message struct {
	// ID tells messages apart: a second Send of the same ID within two minutes of the first adds nothing
	// where the driver can tell, so a Send whose answer was lost can be repeated.
	ID string
	// Group names what the message belongs to, a job for one: at most 128 letters, digits and
	// punctuation marks of ASCII, or nothing. Groups take turns: what a small group sends is not kept
	// waiting until a large group that came first is done. This holds on average and not for every pair
	// of groups, since a driver may put a few of them together. Within a group the order of delivery is
	// roughly that of sending.
	Group string
	// Body is UTF-8 text of at most [MaxBody] bytes.
	Body []byte
}

// Limits that every driver keeps.
const (
	MaxBody    = 64 << 10         // bytes of one body
	MaxReceive = 10               // messages of one Receive
	MaxWait    = 20 * time.Second // wait of one Receive
)

// Delivery is a message leased by one receiver.
type Delivery struct {
	Message
	// Attempt counts the deliveries of this message, from 1: it rises with every lease, whether the last
	// holder nacked, crashed or fell silent. It may be one too high after a delivery that reached nobody.
	Attempt int
	// LeaseUntil is when another may be given the message, unless the lease is extended.
	LeaseUntil time.Time
	// Receipt is the driver's own handle.
	Receipt any
}

// Stats is what a queue knows about itself.
type Stats struct {
	Ready  int64         // messages that a Receive could be given now
	Leased int64         // messages delivered and not settled, and those that wait out a Nack's delay
	Oldest time.Duration // age of the oldest message, leased ones included; 0 when there is none or it is not known
	Sent   int64         // messages added since the queue was made, repeats not counted; 0 where that is not known
	Exact  bool          // false where the counts may lag behind by a minute or so
}

// Backlog is the number of messages not yet settled: what scaling looks at. A driver may count a
// message whose lease has passed as leased, so neither part means much alone.
func (s Stats) Backlog() int64 { return s.Ready + s.Leased }

// Queue is a seam: a durable work queue with leases, at-least-once.
//
// Every method may be called from any number of goroutines and processes. A driver does not retry beyond
// what its protocol asks for; every method can be repeated. A message that was sent is delivered until
// it is acked: it is never dropped after some number of attempts.
type Queue interface {
	// Send adds the messages. When it returns nil they are durable: they survive kill -9 and the loss of
	// power. On an error any part of them may have been added; the caller sends all again.
	// A message that [Check] refuses is an error, and then none is sent.
	Send(ctx context.Context, msgs ...Message) error

	// Receive leases up to max messages, 1 ≤ max ≤ [MaxReceive]. It waits until there is at least one, or until wait
	// (at most [MaxWait]) has passed, when it returns none and no error. When ctx ends it returns ctx.Err();
	// messages on their way at that moment come back when their lease passes, not sooner.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Delivery, error)

	// Ack settles the deliveries: they will not come again, unless the server crashes at that moment. The late ack of a delivery whose lease has
	// passed may settle it or not, and is no error.
	Ack(ctx context.Context, ds ...Delivery) error

	// Extend renews the whole lease of each delivery, counted from now. It returns [ErrLeaseLost], joined with
	// others, where it knows that a lease has passed.
	Extend(ctx context.Context, ds ...Delivery) error

	// Nack gives the deliveries back, to be delivered again after delay. It does nothing for one whose lease
	// has passed, since another may hold it by now.
	Nack(ctx context.Context, delay time.Duration, ds ...Delivery) error

	// Stats counts what is there.
	Stats(ctx context.Context) (Stats, error)
}
