package awsconn

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// failure is an error as the SDK makes it.
func failure(service, op, code string, status int, header http.Header) error {
	return &smithy.OperationError{ServiceID: service, OperationName: op, Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status, Header: header}},
		Err:      &smithy.GenericAPIError{Code: code, Message: "as the service says"},
	}}
}

func TestExplainSaysWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"wrong key":           {failure("S3", "PutObject", "InvalidAccessKeyId", 403, nil), "check AWS_ACCESS_KEY_ID"},
		"no permission":       {failure("SQS", "SendMessageBatch", "AccessDenied", 403, nil), "lack the permission sqs:SendMessage:"},
		"no permission, list": {failure("S3", "ListObjectsV2", "AccessDenied", 403, nil), "s3:ListBucket"},
		"no permission, EC2":  {failure("EC2", "RunInstances", "UnauthorizedOperation", 403, nil), "ec2:RunInstances"},
		"bare 403":            {failure("S3", "HeadObject", "", 403, nil), "s3:GetObject"},
		"clock":               {failure("S3", "PutObject", "RequestTimeTooSkewed", 403, nil), "the clock of this machine"},
		"no bucket":           {failure("S3", "PutObject", "NoSuchBucket", 404, nil), "the bucket does not exist"},
		"region":              {failure("S3", "PutObject", "PermanentRedirect", 301, http.Header{"X-Amz-Bucket-Region": {"eu-west-1"}}), "another region, eu-west-1"},
		"throttling":          {failure("S3", "PutObject", "SlowDown", 503, nil), "go slower"},
		"no queue":            {failure("SQS", "ReceiveMessage", "AWS.SimpleQueueService.NonExistentQueue", 400, nil), "the queue does not exist"},
		"no network":          {&smithy.OperationError{ServiceID: "S3", Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Explain(t.Context(), c.err)
			if !strings.Contains(got.Error(), c.want) || !errors.Is(got, c.err) {
				t.Errorf("%v\ndoes not say %q", got, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := Explain(ctx, errors.New("x")); got != context.Canceled {
		t.Errorf("after the context has ended: %v", got)
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{}, "no AWS region is set"},
		{Options{Region: "eu-central-1"}, "no AWS credentials were found"},
		{Options{Endpoint: "localhost:9000"}, "the endpoint"},
		{Options{Endpoint: "http://user:secret@localhost"}, "the endpoint"},
	} {
		if _, err := Load(t.Context(), c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v does not say %q", c.options, err, c.want)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	cfg, err := Load(t.Context(), Options{Endpoint: "http://127.0.0.1:9000"})
	if err != nil || cfg.Region == "" {
		t.Errorf("with credentials and an endpoint: region %q, %v", cfg.Region, err)
	}
}
