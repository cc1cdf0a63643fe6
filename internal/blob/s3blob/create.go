package s3blob

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob"
)

// writerKey is the metadata of a created object that names the call that wrote it.
const writerKey = "ocelli-writer"

// Create implements [blob.Store]. Each call signs what it writes: one whose first request was carried out and never answered
// finds, when it asks again, that the key is taken, and by the signature that it was by itself.
func (s *Store) Create(ctx context.Context, key string, body []byte) (bool, error) {
	if err := blob.CheckKey(key); err != nil {
		return false, fmt.Errorf("create: %w", err)
	}
	writer := rand.Text()
	in := s.putInput(key, body)
	in.IfNoneMatch, in.Metadata = aws.String("*"), map[string]string{writerKey: writer}
	_, err := s.client.PutObject(ctx, in)
	switch {
	case err == nil:
		return true, nil
	case awsconn.Status(err) != http.StatusPreconditionFailed:
		return false, s.fail(ctx, "create", key, err)
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.cfg.Bucket, Key: s.object(key)})
	if err != nil {
		return false, s.fail(ctx, "create", key, err)
	}
	return out.Metadata[writerKey] == writer, nil
}
