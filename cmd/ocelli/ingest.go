package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob/s3blob"
	"github.com/ocelli/ocelli/internal/ingest"
	"github.com/ocelli/ocelli/internal/queue/sqsqueue"
)

// ingestSettings say from which bucket a web node takes images beside those that are uploaded.
type ingestSettings struct{ bucket, events, results string }

func (s *ingestSettings) register(f *pflag.FlagSet) {
	f.StringVar(&s.bucket, "ingest", "", "classify what is put into this bucket: `URL` like s3://BUCKET/PREFIX")
	f.StringVar(&s.events, "ingest-events", "", "`URL` of the queue that S3 tells of new objects: sqs://NAME")
	f.StringVar(&s.results, "ingest-results", "", "put results there, too: `URL` like s3://BUCKET/PREFIX?format=json, or pair for texts like (dog, golden retriever)")
}

func (s *ingestSettings) problems() []error {
	var errs []error
	if (s.bucket == "") != (s.events == "") {
		errs = append(errs, errors.New("--ingest and --ingest-events go together: the bucket, and the queue that S3 tells of its objects"))
	}
	if s.results != "" && s.bucket == "" {
		errs = append(errs, errors.New("--ingest-results says where the results of --ingest go, and that is not given"))
	}
	return errs
}

// open returns what takes images from the bucket for the node until ctx ends; without a bucket it does nothing.
func (s *ingestSettings) open(ctx context.Context, n *node) (func(ctx context.Context) error, error) {
	if s.bucket == "" {
		return func(context.Context) error { return nil }, nil
	}
	events, err := openEvents(ctx, s.events)
	if err != nil {
		return nil, fmt.Errorf("--ingest-events: %w", err)
	}
	from, err := openBucket(ctx, s.bucket, nil)
	if err != nil {
		return nil, fmt.Errorf("--ingest: %w", err)
	}
	in := &ingest.Ingest{
		Events: events, Bucket: from.Name(), Prefix: from.Prefix(), Objects: from,
		Blobs: n.intake.Blobs, Queue: n.intake.Queue, Saved: n.intake.Results, Tracker: n.tracker, Store: n.intake.Store,
		ImageBytes: n.intake.Limits.ImageBytes, Sent: n.sent, Log: n.log,
	}
	if s.results != "" {
		if err := s.deliver(ctx, in); err != nil {
			return nil, fmt.Errorf("--ingest-results: %w", err)
		}
	}
	n.log.Info("taking images from a bucket", "bucket", in.Bucket, "prefix", in.Prefix, "results", s.results)
	return in.Run, nil
}

// deliver makes in put results where the settings say.
func (s *ingestSettings) deliver(ctx context.Context, in *ingest.Ingest) error {
	format := "json"
	to, err := openBucket(ctx, s.results, map[string]func(string) error{"format": func(v string) error { format = v; return nil }})
	if err != nil {
		return err
	}
	if err := ingest.CheckFormat(format); err != nil {
		return usageError{err}
	}
	if to.Name() == in.Bucket {
		if to.Prefix() == "" {
			return usageError{errors.New("each result would come in as another image: name another bucket, or a prefix")}
		}
		in.Results = to.Prefix()
	}
	in.Deliver = ingest.Deliver(to, format)
	return nil
}

// openBucket opens a bucket of others, whose URL may have more parameters.
func openBucket(ctx context.Context, text string, more map[string]func(string) error) (*s3blob.Bucket, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "s3" {
		return nil, usageError{fmt.Errorf("%s is not a bucket: write it like s3://BUCKET/PREFIX", text)}
	}
	cfg, options, err := parseBucket(u, more)
	if err != nil {
		return nil, usageError{err}
	}
	conn, err := awsconn.Load(ctx, options)
	if err != nil {
		return nil, err
	}
	return s3blob.OpenBucket(ctx, conn, cfg)
}

// openEvents opens the queue that S3 tells of new objects, which must be there.
func openEvents(ctx context.Context, text string) (*sqsqueue.Queue, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "sqs" || u.Host == "" {
		return nil, usageError{fmt.Errorf("%s is not a queue: write it like sqs://NAME", text)}
	}
	var options awsconn.Options
	if err := parameters(u, awsParameters(&options, nil)); err != nil {
		return nil, usageError{err}
	}
	conn, err := awsconn.Load(ctx, options)
	if err != nil {
		return nil, err
	}
	return sqsqueue.Open(ctx, conn, sqsqueue.Config{Name: u.Host, Lease: ingest.Lease, Foreign: true})
}
