package main

import (
	"io"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob/s3blob"
)

func TestStoreURLsAreRead(t *testing.T) {
	u, err := url.Parse("s3://images/a/b/?region=eu-central-1&endpoint=http://127.0.0.1:9000&path_style=true&sse_kms_key=alias/x")
	if err != nil {
		t.Fatal(err)
	}
	cfg, conn, err := parseS3(u)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s3blob.Config{Bucket: "images", Prefix: "a/b", PathStyle: true, KMSKey: "alias/x"}, cfg); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(awsconn.Options{Region: "eu-central-1", Endpoint: "http://127.0.0.1:9000"}, conn); diff != "" {
		t.Errorf("connection (-want +got):\n%s", diff)
	}
}

func TestURLsOfAWSThatAreWrongAreRefused(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for text, want := range map[string]string{
		"sqs://ocelli?regoin=x":         `the parameter "regoin" is not known`,
		"sqs://key:secret@ocelli":       "secrets do not belong into a URL",
		"sqs://ocelli/a":                "has no slash",
		"sqs:///":                       "is not a URL",
		"kafka://ocelli":                "no queue of the kind",
		"s3://images?path_style=maybe":  "path_style=maybe is not possible",
		"s3://key:secret@images":        "secrets do not belong into a URL",
		"s3:///prefix":                  "names no bucket",
		"s3://images?access_key=secret": `the parameter "access_key" is not known`,
	} {
		b := &backends{}
		var err error
		if strings.HasPrefix(text, "s3") {
			err = b.openBlobs(t.Context(), text)
		} else {
			err = b.openQueue(t.Context(), text, time.Minute, "test", log)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\ndoes not say %q", text, err, want)
		}
	}
}
