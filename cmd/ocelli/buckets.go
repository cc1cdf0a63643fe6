package main

import (
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/s3blob"
)

// objectOpener opens an object of a bucket. An error that wraps [blob.ErrNotFound] is the fault of whoever named it.
type objectOpener func(ctx context.Context, bucket, key string) (io.ReadCloser, error)

// openBuckets opens the buckets of --open-bucket; an object of any other is not found. It returns nil where there are none.
func openBuckets(ctx context.Context, urls []string) (objectOpener, error) {
	if len(urls) == 0 {
		return nil, nil
	}
	stores := map[string]*s3blob.Store{}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "s3" || u.Fragment != "" {
			return nil, usageError{fmt.Errorf("--open-bucket=%s is not a bucket: write it like s3://BUCKET/PREFIX?region=REGION", text)}
		}
		cfg, options, err := parseS3(u)
		if err != nil {
			return nil, usageError{fmt.Errorf("--open-bucket: %w", err)}
		}
		conn, err := awsconn.Load(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("--open-bucket=%s: %w", text, err)
		}
		if stores[cfg.Bucket], err = s3blob.Open(ctx, conn, cfg); err != nil {
			return nil, fmt.Errorf("--open-bucket: %w", err)
		}
	}
	return func(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
		store := stores[bucket]
		if store == nil {
			return nil, fmt.Errorf("bucket %s: %w", bucket, blob.ErrNotFound)
		}
		return store.OpenAny(ctx, key)
	}, nil
}
