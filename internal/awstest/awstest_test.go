package awstest_test

import (
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/ocelli/ocelli/internal/awstest"
)

// noRetry makes a client ask once, so that a server that is down shows at once.
func noRetry(t *testing.T, s *awstest.Server) aws.Config {
	cfg := s.Config()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return cfg
}

func TestBucketSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	server := awstest.S3(t)
	bucket := awstest.Bucket(t, server)
	client := s3.NewFromConfig(noRetry(t, server), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("a"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	get := func() (string, error) {
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("a")})
		if err != nil {
			return "", err
		}
		defer out.Body.Close()
		body, err := io.ReadAll(out.Body)
		return string(body), err
	}
	server.Stop()
	if _, err := get(); err == nil {
		t.Error("a stopped server answered")
	}
	server.Start()
	if body, err := get(); err != nil || body != "x" {
		t.Errorf("after the outage: %q, %v", body, err)
	}
}

func TestQueueSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	server := awstest.SQS(t)
	client := sqs.NewFromConfig(noRetry(t, server))
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(awstest.Name())})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	if _, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl}); err == nil {
		t.Error("a stopped server answered")
	}
	server.Start()
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl})
	if err != nil || len(out.Messages) != 1 || *out.Messages[0].Body != "x" {
		t.Errorf("after the outage: %v, %v", out, err)
	}
}

func TestMotoAnswers(t *testing.T) {
	t.Parallel()
	server := awstest.Moto(t)
	client := sqs.NewFromConfig(server.Config())
	if _, err := client.ListQueues(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
