package s3blob

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/blob"
)

func TestObjectsOfOthersAreRead(t *testing.T) {
	server := awstest.S3(t)
	bucket := awstest.Bucket(t, server)
	store, err := Open(t.Context(), server.Config(), Config{Bucket: bucket, Prefix: "photos", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"photos/my dog (1).jpg", "private/x.jpg"} {
		if _, err := store.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(key)}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := store.OpenAny(t.Context(), "photos/my dog (1).jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "photos/my dog (1).jpg" {
		t.Errorf("%q, %v", text, err)
	}
	for _, key := range []string{"private/x.jpg", "photos/none.jpg", "photos"} {
		if _, err := store.OpenAny(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
