package s3blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob"
)

// Bucket is a bucket that belongs to others, whose keys may be anything that S3 takes. Its methods may be called from any number
// of goroutines.
type Bucket struct{ store *Store }

// OpenBucket returns the bucket, of which only what is below cfg.Prefix is seen, after one request, as [Open] does.
func OpenBucket(ctx context.Context, conn aws.Config, cfg Config) (*Bucket, error) {
	s, err := Open(ctx, conn, cfg)
	if err != nil {
		return nil, err
	}
	return &Bucket{s}, nil
}

// Name is that of the bucket.
func (b *Bucket) Name() string { return b.store.cfg.Bucket }

// Prefix is what the keys of all objects begin with that are seen: empty, or ending in a slash.
func (b *Bucket) Prefix() string { return b.store.prefix }

// Open returns the bytes of an object. Where etag is not empty it is that version of it, or [blob.ErrNotFound] where it has been replaced.
func (b *Bucket) Open(ctx context.Context, key, etag string) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &b.store.cfg.Bucket, Key: b.store.object(key)}
	if etag != "" {
		in.IfMatch = &etag
	}
	out, err := b.store.client.GetObject(ctx, in)
	missing := (*types.NoSuchKey)(nil)
	switch {
	case err == nil:
		return out.Body, nil
	case errors.As(err, &missing), awsconn.Status(err) == http.StatusPreconditionFailed:
		return nil, fmt.Errorf("open %q: %w", key, blob.ErrNotFound)
	}
	return nil, fmt.Errorf("open %q in bucket %s: %w", key, b.Name(), awsconn.Explain(ctx, err))
}

// Put stores an object.
func (b *Bucket) Put(ctx context.Context, key, mediaType string, body []byte) error {
	in := b.store.putInput(key, body)
	in.ContentType = &mediaType
	if _, err := b.store.client.PutObject(ctx, in); err != nil {
		return fmt.Errorf("put %q into bucket %s: %w", key, b.Name(), awsconn.Explain(ctx, err))
	}
	return nil
}
