// Package notify tells other processes that something has happened: a result is there, a worker has
// changed its state. It is a hint, never the truth: whoever listens also reads the store now and then.
package notify

import "context"

// Bus is a seam: topics, best effort.
//
// A topic is made of letters, digits, "-" and "_", in parts joined by ".". Every method may be called from any
// number of goroutines. A message reaches every subscriber of its topic at most once, in any process
// that shares the bus; it may be lost, and is not kept for those who come later.
type Bus interface {
	// Publish sends body, at most [MaxBody] bytes, to the subscribers of topic. It does not wait for them; nil does
	// not mean that anyone heard.
	Publish(ctx context.Context, topic string, body []byte) error

	// Subscribe calls fn with each message of topic, one after another, from when Subscribe has returned until stop is
	// called. fn must be quick: messages pile up to a bound behind a slow one and are dropped beyond it.
	// fn is not called any more, and does not run any more, once stop has returned; so fn must not call stop
	// itself. stop may be called again. ctx bounds the call of Subscribe, and not the subscription.
	Subscribe(ctx context.Context, topic string, fn func(body []byte)) (stop func(), err error)
}
