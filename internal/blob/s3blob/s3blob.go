// Package s3blob keeps blobs as objects of an S3 bucket: Amazon's, or any server that speaks the protocol and knows conditional
// writes.
//
// # The life of a blob here
//
// A key is an object below the store's prefix. A body of up to one part is one PutObject, and a larger one a multipart upload,
// one part in memory at a time. A blob that is created once is written with If-None-Match: *, so the server decides which of
// several writers was first
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
//
// # Promises
//
// S3 answers a write when it is stored in several places, and reads and lists see it from then on
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel).
//
// # Not promised
//
// A multipart upload that nobody ended, since the process was killed, keeps its parts, unseen, until a life-cycle rule of the bucket
// removes them (AbortIncompleteMultipartUpload). Without the permission s3:ListBucket S3 says "forbidden" of a missing object, and so does the store.
//
// # Permissions
//
// s3:ListBucket on the bucket; s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on what is below the prefix; with a
// KMS key kms:GenerateDataKey and kms:Decrypt on that.
//
// # Costs
//
// One request for each Put up to one part, Create and Open; one for each 1000 blobs of a List or a Delete.
package s3blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob"
)

const (
	// deleteBatch is the most keys of one DeleteObjects.
	deleteBatch = 1000

	// tries bounds the requests of one call. S3 asks for another after 409, which says that two wrote at the same moment, and
	// after 5xx (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html), and a broken connection is made anew.
	tries = 6

	// longestPause bounds the pauses between them, which grow from a fraction of a second: the caller has pauses of its own.
	longestPause = time.Second

	// maxPrefix leaves room for the longest key: S3 takes 1024 bytes in all.
	maxPrefix = 1024 - blob.MaxKey - 1
)

// Config names the store.
type Config struct {
	Bucket string
	// Prefix is a folder within the bucket, without slashes at its ends, or nothing.
	Prefix string
	// PathStyle asks for http://HOST/BUCKET/KEY in place of http://BUCKET.HOST/KEY, as most servers but Amazon's need.
	PathStyle bool
	// KMSKey is the id or ARN of the KMS key that encrypts what is written; empty leaves it to the bucket's own setting.
	KMSKey string
}

// Store implements [blob.Store].
type Store struct {
	client *s3.Client
	cfg    Config
	prefix string // of every object: empty, or ending in a slash
}

// New returns the store without a request.
func New(conn aws.Config, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, client: s3.NewFromConfig(conn, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = tries, longestPause
			r.Retryables = append(r.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusConflict: {}}})
		})
	})}
	if cfg.Prefix != "" {
		if err := blob.CheckPrefix(cfg.Prefix + "/"); err != nil {
			return nil, fmt.Errorf("open bucket %s: %w", cfg.Bucket, err)
		}
		if s.prefix = cfg.Prefix + "/"; len(s.prefix) > maxPrefix {
			return nil, fmt.Errorf("open bucket %s: the prefix has %d bytes, and %d are the most", cfg.Bucket, len(s.prefix), maxPrefix)
		}
	}
	return s, nil
}

// Open returns the store after one request that shows that the bucket is there and may be listed.
func Open(ctx context.Context, conn aws.Config, cfg Config) (*Store, error) {
	s, err := New(conn, cfg)
	if err != nil {
		return nil, err
	}
	// A list, and no HeadBucket: the answer to that has no body, so it cannot say what is wrong.
	_, err = s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &cfg.Bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", cfg.Bucket, awsconn.Explain(ctx, err))
	}
	return s, nil
}

func (s *Store) object(key string) *string { return aws.String(s.prefix + key) }

// Open implements [blob.Store].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: s.object(key)})
	if err != nil {
		return nil, s.fail(ctx, "open", key, err)
	}
	return out.Body, nil
}

// List implements [blob.Store].
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, fmt.Errorf("list: %w", err))
			return
		}
		for info, err := range s.objects(ctx, *s.object(prefix)) {
			info.Key = strings.TrimPrefix(info.Key, s.prefix)
			if !yield(info, err) {
				return
			}
		}
	}
}

// objects yields what is in the bucket under keys that begin with prefix, by their whole keys.
func (s *Store) objects(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(blob.Info{}, s.fail(ctx, "list", prefix, err))
				return
			}
			for _, o := range page.Contents {
				if !yield(blob.Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
		}
	}
}

// Delete implements [blob.Store].
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := blob.CheckKey(key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	for batch := range slices.Chunk(keys, deleteBatch) {
		in := &s3.DeleteObjectsInput{Bucket: &s.cfg.Bucket, Delete: &types.Delete{Quiet: aws.Bool(true)}}
		for _, key := range batch {
			in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: s.object(key)})
		}
		out, err := s.client.DeleteObjects(ctx, in)
		if err != nil {
			return s.fail(ctx, "delete", batch[0], err)
		}
		for _, e := range out.Errors {
			if code := aws.ToString(e.Code); code != "NoSuchKey" {
				return fmt.Errorf("delete %s: the server answers %s: %s", strings.TrimPrefix(aws.ToString(e.Key), s.prefix), code, aws.ToString(e.Message))
			}
		}
	}
	return nil
}

// fail says what became of a request for a key, in the words of [blob.Store].
func (s *Store) fail(ctx context.Context, op, key string, err error) error {
	if missing := (*types.NoSuchKey)(nil); errors.As(err, &missing) {
		return fmt.Errorf("%s %s: %w", op, key, blob.ErrNotFound)
	}
	switch awsconn.Code(err) {
	case "QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "InsufficientCapacity":
		return fmt.Errorf("%s %s: %w: %w", op, key, blob.ErrFull, err)
	}
	if awsconn.Status(err) == http.StatusInsufficientStorage {
		return fmt.Errorf("%s %s: %w: %w", op, key, blob.ErrFull, err)
	}
	return fmt.Errorf("%s %s in bucket %s: %w", op, key, s.cfg.Bucket, awsconn.Explain(ctx, err))
}
