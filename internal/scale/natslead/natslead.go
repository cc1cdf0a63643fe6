// Package natslead elects one controller with a key of a NATS JetStream key-value bucket: on a server embedded in a
// process, or on a cluster.
//
// # The life of a lead here
//
// A key that is missing is created, which the server grants to one candidate. Its holder writes it anew every
// second, naming the revision it wrote before, so nobody can write over another's lead unseen. The bucket
// forgets a key that was not written for [lease]; then another candidate, which asks every second, can create it.
// A holder that ends cleanly deletes the key.
//
// # Promises
//
// Two holders never overlap. A holder reckons its lease from before it asked, by its own monotonic clock, and stops
// acting [margin] before the server can forget the key, whether it hears from the server or not. What remains
// is margin for clocks that run at different speeds and, in a cluster, for the difference between the clocks of the
// servers: the age of a key is measured by the one that leads the stream.
//
// # Not promised
//
// A server whose clock is set forward by more than margin forgets the key too early. A machine that was suspended does
// not count that time (CLOCK_MONOTONIC, clock_gettime(2)): its controller may act for up to [lease] after it
// wakes, until its next write is refused. A server that loses what it has answered, because it does not sync its
// writes and the power fails, may give the lead away early.
//
// # Costs
//
// One small write a second of the holder, and up to two questions a second of each other candidate.
//
// See https://docs.nats.io/nats-concepts/jetstream/key-value-store.
package natslead

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ocelli/ocelli/internal/scale"
)

const (
	// lease is how long the server remembers a key that is not written again.
	lease = 5 * time.Second
	// margin is how long before the end of its lease a holder stops to act.
	margin = 1500 * time.Millisecond
	// pause lies between two writes of a holder, and between two questions of a candidate.
	pause = time.Second
	// answerTimeout bounds the wait for one answer of the server.
	answerTimeout = 2 * time.Second
	// openTimeout bounds Open.
	openTimeout = 30 * time.Second

	key = "controller"
)

// Config describes the bucket. All candidates give the same.
type Config struct {
	Name     string // of the bucket: letters, digits, "-" and "_"
	Replicas int    // on how many servers of a cluster the key is stored, 1 when it is 0
	Holder   string // what a person who looks into the bucket reads of this candidate: its machine and process
}

// Leadership implements [scale.Leadership].
type Leadership struct {
	bucket   jetstream.KeyValue
	me       string // the value of the key while this process leads
	revision uint64 // of the key while this process leads, or 0
	log      *slog.Logger
}

var (
	_ scale.Leadership = (*Leadership)(nil)
	_ scale.Lease      = (*Leadership)(nil)
)

// Open makes the bucket where it is missing and returns a candidate. It does not own nc and needs no closing.
func Open(ctx context.Context, nc *nats.Conn, cfg Config, log *slog.Logger) (*Leadership, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open the lead of %s: %w", cfg.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	bucket, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:      cfg.Name,
		Description: "which controller keeps the workers",
		TTL:         lease,
		Storage:     jetstream.FileStorage,
		Replicas:    max(cfg.Replicas, 1),
	})
	if err != nil {
		return nil, fmt.Errorf("open the lead of %s: %w", cfg.Name, err)
	}
	return &Leadership{bucket: bucket, me: cfg.Holder + " " + rand.Text(), log: log}, nil
}

// Lead implements [scale.Leadership].
func (l *Leadership) Lead(ctx context.Context, fn func(context.Context) error) error {
	return scale.Lead(ctx, l, pause, l.log, fn)
}

// Take implements [scale.Lease].
func (l *Leadership) Take(ctx context.Context) (time.Time, error) {
	asked := time.Now()
	next, err := l.write(ctx, l.revision)
	if err == nil || errors.Is(err, scale.ErrTaken) {
		l.revision = next
	}
	return asked.Add(lease - margin), err
}

// write writes the key over the revision, or creates it where that is 0. A write that happened although its answer was
// lost is found by the value, which is this candidate's own, and written over.
func (l *Leadership) write(ctx context.Context, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	next, err := l.put(ctx, revision)
	if err == nil || !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return next, err
	}
	entry, err := l.bucket.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound): // forgotten in between
		return l.put(ctx, 0)
	case err != nil:
		return 0, fmt.Errorf("read who leads: %w", err)
	case string(entry.Value()) != l.me:
		return 0, fmt.Errorf("%w: %s", scale.ErrTaken, entry.Value())
	}
	return l.put(ctx, entry.Revision())
}

func (l *Leadership) put(ctx context.Context, revision uint64) (next uint64, err error) {
	if revision == 0 {
		next, err = l.bucket.Create(ctx, key, []byte(l.me))
	} else {
		next, err = l.bucket.Update(ctx, key, []byte(l.me), revision)
	}
	if err != nil {
		return 0, fmt.Errorf("take the lead: %w", err)
	}
	return next, nil
}

// GiveUp implements [scale.Lease]: it deletes the key, unless somebody else has written it.
func (l *Leadership) GiveUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	revision := l.revision
	l.revision = 0
	return l.bucket.Delete(ctx, key, jetstream.LastRevision(revision))
}
