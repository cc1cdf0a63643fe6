package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob/s3blob"
	"github.com/ocelli/ocelli/internal/bulk"
)

// buckets finds the images behind URLs like s3://BUCKET/PATH?region=eu-central-1, with one connection to each bucket.
type buckets struct {
	finder *bulk.Finder
	open   map[string]*s3blob.Store // by what tells buckets apart
}

func (b *buckets) find(ctx context.Context, name string) bulk.Items {
	store, path, err := b.store(ctx, name)
	if err != nil {
		return func(yield func(bulk.Item, error) bool) { yield(bulk.Item{}, err) }
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(name, "s3://"), "/")
	return b.finder.Stored(ctx, store, path, "s3://"+host+"/")
}

func (b *buckets) store(ctx context.Context, name string) (*s3blob.Store, string, error) {
	u, err := url.Parse(name)
	if err != nil {
		return nil, "", fmt.Errorf("%s is no address of images in S3: write it like s3://BUCKET/PATH", name)
	}
	cfg, options, err := parseS3(u)
	if err != nil {
		return nil, "", err
	}
	cfg.Prefix = "" // the user's own folders need no names of ours
	path, which := strings.TrimPrefix(u.Path, "/"), u.Host+"?"+u.RawQuery
	if store := b.open[which]; store != nil {
		return store, path, nil
	}
	conn, err := awsconn.Load(ctx, options)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	store, err := s3blob.New(conn, cfg)
	if err == nil {
		b.open[which] = store
	}
	return store, path, err
}
