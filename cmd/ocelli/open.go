package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/fileblob"
	"github.com/ocelli/ocelli/internal/natsconn"
	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/notify/natsnotify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/natsqueue"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/scale/natslead"
)

// natsTokenEnv is the environment variable with the token of a NATS server; see [natsconn.FromEnv]. Secrets never stand in
// URLs, which other users of the machine can see.
const natsTokenEnv = "OCELLI_NATS_TOKEN"

// streamName is the name of the queue on a NATS server, unless its URL says ?stream=NAME.
const streamName = "ocelli"

// backends are the drivers that stand behind the seams of one process.
type backends struct {
	queue   queue.Queue
	bus     notify.Bus
	blobs   blob.Store
	purge   func(context.Context) error // deletes all messages of the queue
	journal journal                     // of what the controller of the queue decided
	// leadership makes holder a candidate for the lead among the controllers of the queue.
	leadership func(ctx context.Context, holder string, log *slog.Logger) (scale.Leadership, error)
	closers    []func()
}

// journal keeps the decisions of a controller, for people who ask why. See [scale.Journal] and [scale.StoreJournal].
type journal interface {
	Record(scale.Decision) error
	Since(since time.Time, most int) ([]scale.Decision, error)
	Latest(most int) ([]scale.Decision, error)
}

func (b *backends) close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
}

// openEmbedded opens the backends of `ocelli up`: the broker of this process and files below the data folder.
func openEmbedded(ctx context.Context, broker *natsembed.Server, data string, lease time.Duration, log *slog.Logger) (*backends, error) {
	nc, err := broker.Connect(natsconn.Options("ocelli up", log)...)
	if err != nil {
		return nil, err
	}
	b := &backends{closers: []func(){nc.Close}}
	if err := errors.Join(b.openNATS(ctx, nc, natsqueue.Config{Name: streamName, Lease: lease}), b.openFiles(data)); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// openBackends opens what the URLs name. name tells connections apart in the broker's own lists. With no lease the queue must be there
// and is left as it is: that is for looking at it and emptying it.
func openBackends(ctx context.Context, at urls, lease time.Duration, name string, log *slog.Logger) (*backends, error) {
	b := &backends{}
	if err := errors.Join(b.openQueue(ctx, at.queue, lease, name, log), b.openBlobs(ctx, at.blobs)); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// openQueue is the one place that turns the URL of a queue into a driver.
func (b *backends) openQueue(ctx context.Context, text string, lease time.Duration, name string, log *slog.Logger) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return usageError{fmt.Errorf("--queue=%s is not a URL: write it like nats://127.0.0.1:4222", text)}
	}
	switch u.Scheme {
	case "nats", "tls":
		return b.dialNATS(ctx, u, lease, name, log)
	case "sqs":
		return b.openSQS(ctx, u, lease, log)
	}
	return usageError{fmt.Errorf("--queue=%s: there is no queue of the kind %q here: use nats://HOST:PORT, tls://HOST:PORT or sqs://NAME", text, u.Scheme)}
}

// dialNATS opens the queue of a URL like nats://HOST:PORT.
func (b *backends) dialNATS(ctx context.Context, u *url.URL, lease time.Duration, name string, log *slog.Logger) error {
	cfg := natsqueue.Config{Name: streamName, Lease: lease}
	err := parameters(u, map[string]func(string) error{
		"stream":   func(v string) error { cfg.Name = v; return nil },
		"replicas": func(v string) (err error) { cfg.Replicas, err = strconv.Atoi(v); return err },
	})
	if err != nil {
		return usageError{fmt.Errorf("--queue: %w", err)}
	}
	conn := natsconn.FromEnv(os.Getenv)
	conn.URL, conn.Name, conn.Logger = u.Scheme+"://"+u.Host, "ocelli "+name, log
	nc, err := natsconn.Connect(conn)
	if err != nil {
		return err
	}
	b.closers = append(b.closers, nc.Close)
	return b.openNATS(ctx, nc, cfg)
}

func (b *backends) openNATS(ctx context.Context, nc *nats.Conn, cfg natsqueue.Config) error {
	open := natsqueue.Open
	if cfg.Lease == 0 {
		open = natsqueue.Attach
	}
	q, err := open(ctx, nc, cfg)
	if err != nil {
		return err
	}
	bus, err := natsnotify.New(nc, cfg.Name)
	if err != nil {
		return err
	}
	b.queue, b.purge, b.bus = q, q.Purge, bus
	b.leadership = func(ctx context.Context, holder string, log *slog.Logger) (scale.Leadership, error) {
		return natslead.Open(ctx, nc, natslead.Config{Name: cfg.Name + "-lead", Replicas: cfg.Replicas, Holder: holder}, log)
	}
	return nil
}

// openBlobs is the one place that turns the URL of a store into a driver.
func (b *backends) openBlobs(ctx context.Context, text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Scheme == "s3" && u.Fragment == "" {
		return b.openS3(ctx, u)
	}
	if err != nil || u.Scheme != "file" || u.Host != "" || u.Fragment != "" || !filepath.IsAbs(u.Path) {
		return usageError{fmt.Errorf("--blobs=%s is not a store that is known here: write it like file:///var/lib/ocelli or s3://BUCKET/PREFIX", text)}
	}
	if err := parameters(u, nil); err != nil {
		return usageError{fmt.Errorf("--blobs: %w", err)}
	}
	return b.openFiles(u.Path)
}

func (b *backends) openFiles(folder string) error {
	files, err := fileblob.Open(folder)
	if err != nil {
		return err
	}
	b.blobs = files
	b.journal = scale.OpenJournal(filepath.Join(folder, "decisions.ndjson"))
	b.closers = append(b.closers, func() { _ = files.Close() })
	return nil
}

// parameters reads those of a URL. One that is not known is refused: it is a mistake, or a wish that would not be met.
func parameters(u *url.URL, known map[string]func(string) error) error {
	if u.User != nil {
		return fmt.Errorf("secrets do not belong into a URL: give the token in %s, and credentials of AWS as its tools find them", natsTokenEnv)
	}
	for name, values := range u.Query() {
		set := known[name]
		if set == nil {
			return fmt.Errorf("the parameter %q is not known", name)
		}
		if err := set(values[len(values)-1]); err != nil {
			return fmt.Errorf("the parameter %s=%s is not possible", name, values[len(values)-1])
		}
	}
	return nil
}
