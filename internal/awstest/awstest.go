// Package awstest starts servers that speak the protocols of AWS, on ports of the loopback interface, for tests: versitygw for
// S3, fauxqs for SQS, moto for EC2, IAM, CloudFormation and the rest. scripts/testtools.sh installs them.
//
// With OCELLI_TEST_AWS=bucket=NAME,region=REGION the tests run against that bucket and SQS of the real account that the SDK's chain finds,
// which costs some cents. Nothing else leads there: without that variable all requests go to stand-ins with made-up credentials.
package awstest

import (
	"context"
	"crypto/rand"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/ocelli/ocelli/internal/awsconn"
)

// What every stand-in is asked with.
const (
	Region    = "us-east-1"
	AccessKey = "ocelli-test"
	SecretKey = "ocelli-test-secret"
)

// TB is what is used of a [testing.TB], so that other kinds of tests can start servers too.
type TB interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	Cleanup(func())
	TempDir() string
}

// Config returns what clients of the server need, with the made-up credentials. A server of the real account gives its own.
func (s *Server) Config() aws.Config {
	if s.real != nil {
		return *s.real
	}
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(s.URL),
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	}
}

// Env returns environment variables with which programs reach the stand-ins as they would reach AWS, added to an environment that
// holds nothing of the account of whoever runs the tests.
func Env() []string {
	return []string{
		"AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region, "AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// Name returns a name that no other test uses, in letters that buckets and queues may have.
func Name() string { return "ocelli-test-" + strings.ToLower(rand.Text()[:12]) }

// account returns the setting of a key in OCELLI_TEST_AWS and whether that is set at all.
func account(t TB, key string) (value string, real bool) {
	t.Helper()
	text := os.Getenv("OCELLI_TEST_AWS")
	if text == "" {
		return "", false
	}
	for part := range strings.SplitSeq(text, ",") {
		if k, v, ok := strings.Cut(part, "="); ok && k == key {
			return v, true
		}
	}
	t.Fatalf("OCELLI_TEST_AWS=%s names no %s: write bucket=NAME,region=REGION", text, key)
	return "", false
}

// realServer is AWS itself.
func realServer(t TB) *Server {
	t.Helper()
	region, _ := account(t, "region")
	cfg, err := awsconn.Load(context.Background(), awsconn.Options{Region: region})
	if err != nil {
		t.Fatal(err)
	}
	return &Server{t: t, real: &cfg}
}
