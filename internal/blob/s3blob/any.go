package s3blob

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob"
)

// ListAny yields the objects that others have put into the bucket, under whatever keys S3 takes, that begin with prefix. Prefix and keys
// are those of the whole bucket; what is not below the store's prefix is not listed.
func (s *Store) ListAny(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if !strings.HasPrefix(prefix, s.prefix) {
		return func(func(blob.Info, error) bool) {}
	}
	return s.objects(ctx, prefix)
}

// OpenAny returns the bytes of an object that others have put into the bucket, under whatever key S3 takes. The key is that of the whole
// bucket; one that is not below the store's prefix, and one that may not be read, is not found. The caller closes what is returned.
func (s *Store) OpenAny(ctx context.Context, key string) (io.ReadCloser, error) {
	if !strings.HasPrefix(key, s.prefix) {
		return nil, fmt.Errorf("open %.80q: %w: it is not below %s", key, blob.ErrNotFound, s.prefix)
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.cfg.Bucket, Key: &key})
	if status := awsconn.Status(err); err != nil && (status == http.StatusForbidden || status == http.StatusNotFound || status == http.StatusBadRequest) {
		return nil, fmt.Errorf("open %.80q: %w (%w)", key, blob.ErrNotFound, awsconn.Explain(ctx, err))
	}
	if err != nil {
		return nil, s.fail(ctx, "open", key, err)
	}
	return out.Body, nil
}
