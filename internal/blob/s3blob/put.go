package s3blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/ocelli/ocelli/internal/blob"
)

const (
	// partSize is the most bytes of one part, and of what a Put holds in memory. S3 takes 10,000 parts, so a blob may have 80 GB.
	partSize = 8 << 20

	// abortTimeout bounds the removal of the parts of an upload that failed.
	abortTimeout = 10 * time.Second
)

// Put implements [blob.Store].
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := blob.CheckKey(key); err != nil {
		return 0, fmt.Errorf("put: %w", err)
	}
	var part bytes.Buffer // grows as it is filled: most images are far smaller than a part
	n, err := fill(ctx, &part, r)
	if err != nil {
		return 0, fmt.Errorf("put %s: %w", key, err)
	}
	if n < partSize {
		if _, err := s.client.PutObject(ctx, s.putInput(key, part.Bytes())); err != nil {
			return 0, s.fail(ctx, "put", key, err)
		}
		return n, nil
	}
	return s.putParts(ctx, key, &part, r)
}

// fill reads up to one part into the buffer, and returns less than partSize where r has ended.
func fill(ctx context.Context, part *bytes.Buffer, r io.Reader) (int64, error) {
	part.Reset()
	n, err := io.CopyN(part, r, partSize)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, errors.Join(err, ctx.Err())
}

func (s *Store) putInput(key string, body []byte) *s3.PutObjectInput {
	in := &s3.PutObjectInput{Bucket: &s.cfg.Bucket, Key: s.object(key), Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body)))}
	if s.cfg.KMSKey != "" {
		in.ServerSideEncryption, in.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &s.cfg.KMSKey
	}
	return in
}

// putParts uploads first, which is a whole part, and then what r still gives.
func (s *Store) putParts(ctx context.Context, key string, part *bytes.Buffer, r io.Reader) (total int64, err error) {
	start := &s3.CreateMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: s.object(key)}
	if s.cfg.KMSKey != "" {
		start.ServerSideEncryption, start.SSEKMSKeyId = types.ServerSideEncryptionAwsKms, &s.cfg.KMSKey
	}
	upload, err := s.client.CreateMultipartUpload(ctx, start)
	if err != nil {
		return 0, s.fail(ctx, "put", key, err)
	}
	defer func() {
		if err != nil {
			s.abort(ctx, key, upload.UploadId)
		}
	}()
	var done []types.CompletedPart
	for n := int64(part.Len()); n > 0; {
		number := aws.Int32(int32(len(done) + 1))
		out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &s.cfg.Bucket, Key: s.object(key), UploadId: upload.UploadId, PartNumber: number,
			Body: bytes.NewReader(part.Bytes()), ContentLength: &n,
		})
		if err != nil {
			return 0, s.fail(ctx, "put", key, err)
		}
		done = append(done, types.CompletedPart{ETag: out.ETag, PartNumber: number, ChecksumCRC32: out.ChecksumCRC32})
		if total += n; n < partSize {
			break
		}
		if n, err = fill(ctx, part, r); err != nil {
			return 0, fmt.Errorf("put %s: %w", key, err)
		}
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: s.object(key), UploadId: upload.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
	})
	if err != nil {
		return 0, s.fail(ctx, "put", key, err)
	}
	return total, nil
}

// abort removes the parts of an upload that failed. Where that fails too, the bucket's life-cycle rule does it.
func (s *Store) abort(ctx context.Context, key string, upload *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	_, _ = s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.cfg.Bucket, Key: s.object(key), UploadId: upload})
}
