package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/awstest"
)

// cloud is where a story keeps its servers that speak the protocols of AWS.
type cloud struct{ s3, sqs *awstest.Server }

// cloudVariables are the names of [awstest.Env].
var cloudVariables = func() []string {
	var names []string
	for _, set := range awstest.Env() {
		name, _, _ := strings.Cut(set, "=")
		names = append(names, name)
	}
	return names
}()

// scriptTB lets a story start servers.
type scriptTB struct{ *testscript.TestScript }

func (scriptTB) Helper()              {}
func (s scriptTB) Fatal(args ...any)  { s.Fatalf("%v", args) }
func (s scriptTB) Skip(args ...any)   { s.Fatalf("%v", args) } // stories say [!servers] skip
func (s scriptTB) Cleanup(end func()) { s.Defer(end) }
func (s scriptTB) TempDir() string {
	dir := s.MkAbs("cloud")
	s.Check(os.MkdirAll(dir, 0o755))
	return dir
}

// cloud starts an S3 server with a bucket and an SQS server, and sets QUEUE and BLOBS for the roles of a fleet, BUCKET, and STORE, the
// folder with the bucket's files.
func startCloud(ts *testscript.TestScript, _ bool, _ []string) {
	c := &cloud{s3: awstest.S3(scriptTB{ts}), sqs: awstest.SQS(scriptTB{ts})}
	serviceOf(ts).cloud = c
	bucket := awstest.Bucket(scriptTB{ts}, c.s3)
	for _, set := range awstest.Env() {
		name, value, _ := strings.Cut(set, "=")
		ts.Setenv(name, value)
	}
	ts.Setenv("BUCKET", bucket)
	ts.Setenv("QUEUE", "sqs://ocelli?endpoint="+c.sqs.URL)
	ts.Setenv("BLOBS", "s3://"+bucket+"?path_style=true&endpoint="+c.s3.URL)
	ts.Setenv("STORE", filepath.Join(c.s3.Dir, bucket))
}

// outage s3|sqs DURATION makes a server unreachable for so long, and fails unless there is work to do meanwhile.
func outage(ts *testscript.TestScript, _ bool, args []string) {
	server := map[string]*awstest.Server{"s3": serviceOf(ts).cloud.s3, "sqs": serviceOf(ts).cloud.sqs}[args[0]]
	lasts, err := time.ParseDuration(args[1])
	ts.Check(err)
	c, err := client.New(serviceOf(ts).url)
	ts.Check(err)
	status, err := c.Status(context.Background())
	ts.Check(err)
	if status.Ready+status.Leased == 0 {
		ts.Fatalf("all work was done before the outage")
	}
	server.Stop()
	time.Sleep(lasts)
	server.Start()
}

// settled WITHIN waits until all queues of the SQS server are empty, and fails if they are not.
func settled(ts *testscript.TestScript, _ bool, args []string) {
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	queues := sqs.NewFromConfig(serviceOf(ts).cloud.sqs.Config())
	counts := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		left := map[string]int{}
		list, err := queues.ListQueues(context.Background(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("ocelli")})
		ts.Check(err)
		for _, url := range list.QueueUrls {
			name := url[strings.LastIndexByte(url, '/')+1:]
			if strings.HasSuffix(name, "-lead.fifo") || strings.Contains(name, "-notify-") {
				continue // they hold no images
			}
			out, err := queues.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: counts})
			ts.Check(err)
			for _, count := range out.Attributes {
				n, err := strconv.Atoi(count)
				ts.Check(err)
				if n > 0 {
					left[name] += n
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after %v there are messages left: %v", within, left)
		}
	}
}
