package s3blob

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
)

func TestStore(t *testing.T) {
	server := awstest.S3(t)
	bucket, run := awstest.Bucket(t, server), awstest.Name()
	var stores atomic.Int64
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := Open(t.Context(), server.Config(), Config{
			Bucket: bucket, Prefix: fmt.Sprintf("%s/%d", run, stores.Add(1)), PathStyle: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
