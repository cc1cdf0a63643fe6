package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob/s3blob"
	"github.com/ocelli/ocelli/internal/notify/sqsnotify"
	"github.com/ocelli/ocelli/internal/queue/sqsqueue"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/scale/sqslead"
)

// awsParameters are the parameters that every URL of a service of AWS may have, which set conn, and more.
func awsParameters(conn *awsconn.Options, more map[string]func(string) error) map[string]func(string) error {
	known := map[string]func(string) error{
		"region":   func(v string) error { conn.Region = v; return nil },
		"endpoint": func(v string) error { conn.Endpoint = v; return nil },
	}
	maps.Copy(known, more)
	return known
}

// openSQS opens the queue of a URL like sqs://NAME?region=eu-central-1, and what goes with it: the bus, the lead.
func (b *backends) openSQS(ctx context.Context, u *url.URL, lease time.Duration, log *slog.Logger) error {
	var options awsconn.Options
	cfg := sqsqueue.Config{Name: u.Host, Lease: lease}
	if err := parameters(u, awsParameters(&options, nil)); err != nil {
		return usageError{fmt.Errorf("--queue: %w", err)}
	}
	if u.Path != "" && u.Path != "/" {
		return usageError{fmt.Errorf("--queue=%s: the name of a queue has no slash: write it like sqs://NAME?region=REGION", u)}
	}
	conn, err := awsconn.Load(ctx, options)
	if err != nil {
		return fmt.Errorf("--queue=%s: %w", u, err)
	}
	open := sqsqueue.Open
	if lease == 0 {
		open = sqsqueue.Attach
	}
	q, err := open(ctx, conn, cfg)
	if err != nil {
		return err
	}
	bus, err := sqsnotify.New(conn, cfg.Name, log)
	if err != nil {
		return err
	}
	b.queue, b.purge, b.bus = q, q.Purge, bus
	b.leadership = func(ctx context.Context, holder string, log *slog.Logger) (scale.Leadership, error) {
		return sqslead.Open(ctx, conn, cfg.Name+"-lead", holder, log)
	}
	return nil
}

// parseS3 reads a URL like s3://BUCKET/PREFIX?region=eu-central-1.
func parseS3(u *url.URL) (s3blob.Config, awsconn.Options, error) { return parseBucket(u, nil) }

// parseBucket reads such a URL that may have more parameters than that of a store.
func parseBucket(u *url.URL, more map[string]func(string) error) (s3blob.Config, awsconn.Options, error) {
	var options awsconn.Options
	cfg := s3blob.Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	set := map[string]func(string) error{
		"path_style":  func(v string) (err error) { cfg.PathStyle, err = strconv.ParseBool(v); return err },
		"sse_kms_key": func(v string) error { cfg.KMSKey = v; return nil },
	}
	maps.Copy(set, more)
	err := parameters(u, awsParameters(&options, set))
	if err == nil && cfg.Bucket == "" {
		err = fmt.Errorf("%s names no bucket: write it like s3://BUCKET/PREFIX", u)
	}
	return cfg, options, err
}

// openS3 opens the store of such a URL.
func (b *backends) openS3(ctx context.Context, u *url.URL) error {
	cfg, options, err := parseS3(u)
	if err != nil {
		return usageError{fmt.Errorf("--blobs: %w", err)}
	}
	conn, err := awsconn.Load(ctx, options)
	if err != nil {
		return fmt.Errorf("--blobs=%s: %w", u, err)
	}
	store, err := s3blob.Open(ctx, conn, cfg)
	if err != nil {
		return err
	}
	b.blobs, b.journal = store, scale.NewStoreJournal(store)
	return nil
}
