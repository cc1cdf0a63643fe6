package e2e

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
	dir, err := os.MkdirTemp(s.MkAbs("."), "cloud-")
	s.Check(err)
	return dir
}

// cloud starts an S3 server with a bucket and an SQS server, and sets QUEUE and BLOBS for the roles of a fleet, BUCKET, S3 and SQS, the addresses, and STORE, the
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
	ts.Setenv("S3", c.s3.URL)
	ts.Setenv("SQS", c.sqs.URL)
	ts.Setenv("QUEUE", "sqs://ocelli?endpoint="+c.sqs.URL)
	ts.Setenv("BLOBS", "s3://"+bucket+"?path_style=true&endpoint="+c.s3.URL)
	ts.Setenv("STORE", filepath.Join(c.s3.Dir, bucket))
}

// inbox starts an S3 server with the buckets inbox and outbox that tells the queue of events of what is put into it, and sets INBOX, EVENTS and OUTBOX for web
// nodes, DELIVERED, the folder with the files of outbox, and S3, the address.
func inbox(ts *testscript.TestScript, _ bool, _ []string) {
	c := serviceOf(ts).cloud
	queues := sqs.NewFromConfig(c.sqs.Config())
	events, err := queues.CreateQueue(context.Background(), &sqs.CreateQueueInput{QueueName: aws.String("events")})
	ts.Check(err)
	// S3 itself sends to the queue, with keys as in a form; the stand-in calls a URL, with keys as they are.
	rawKey := regexp.MustCompile(`"key":"([^"]*)"`)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			event := rawKey.ReplaceAllStringFunc(string(body), func(key string) string {
				return `"key":"` + url.QueryEscape(rawKey.FindStringSubmatch(key)[1]) + `"`
			})
			_, err = queues.SendMessage(r.Context(), &sqs.SendMessageInput{QueueUrl: events.QueueUrl, MessageBody: &event})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	ts.Defer(hook.Close)
	server := awstest.S3(scriptTB{ts}, "--event-webhook-url", hook.URL)
	buckets := s3.NewFromConfig(server.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	for _, name := range []string{"inbox", "outbox"} {
		_, err := buckets.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &name})
		ts.Check(err)
	}
	ts.Setenv("S3", server.URL)
	ts.Setenv("EVENTS", "sqs://events?endpoint="+c.sqs.URL)
	ts.Setenv("INBOX", "s3://inbox?path_style=true&endpoint="+server.URL)
	ts.Setenv("OUTBOX", "s3://outbox?path_style=true&endpoint="+server.URL)
	ts.Setenv("DELIVERED", filepath.Join(server.Dir, "outbox"))
}

// files N DIR WITHIN waits until there are N files below DIR.
func files(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	within, err := time.ParseDuration(args[2])
	ts.Check(err)
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		n := 0
		ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return err
		}))
		if n == want {
			return
		}
		if n > want || time.Now().After(deadline) {
			ts.Fatalf("after %v there are %d files below %s, want %d", within, n, args[1], want)
		}
	}
}

func serverOf(ts *testscript.TestScript, name string) *awstest.Server {
	return map[string]*awstest.Server{"s3": serviceOf(ts).cloud.s3, "sqs": serviceOf(ts).cloud.sqs}[name]
}

// cut s3|sqs makes a server unreachable.
func cut(ts *testscript.TestScript, _ bool, args []string) { serverOf(ts, args[0]).Stop() }

// mend s3|sqs makes it reachable again.
func mend(ts *testscript.TestScript, _ bool, args []string) { serverOf(ts, args[0]).Start() }

// outage s3|sqs DURATION makes a server unreachable for so long, and fails unless there is work to do meanwhile.
func outage(ts *testscript.TestScript, _ bool, args []string) {
	server := serverOf(ts, args[0])
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
