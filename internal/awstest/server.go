package awstest

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ocelli/ocelli/internal/testtools"
)

// patience is how long a server may take to start on a busy machine.
const patience = time.Minute

// Server is one running server. It ends with its test.
type Server struct {
	URL string // http://127.0.0.1:PORT, the same for the whole test
	Dir string // where an S3 server keeps its buckets, as folders of files

	t     TB
	start func()
	stop  func()
	real  *aws.Config // of the real account, in place of all above
}

// Stop makes the server unreachable, as a power cut would: the port is closed and connections are broken. What it holds is kept.
func (s *Server) Stop() {
	s.t.Helper()
	if s.real != nil {
		s.t.Skip("AWS itself cannot be stopped for a test")
	}
	s.stop()
}

// Start makes a stopped server reachable again, on its old port and with what it held.
func (s *Server) Start() { s.t.Helper(); s.start() }

// S3 starts an S3 server with an empty store and no bucket.
func S3(t TB, more ...string) *Server {
	t.Helper()
	if _, ok := account(t, "bucket"); ok {
		return realServer(t)
	}
	dir := t.TempDir()
	address := testtools.Address(t)
	s := daemon(t, address, func() *exec.Cmd {
		args := append([]string{"--access", AccessKey, "--secret", SecretKey, "--region", Region, "--port", address, "--quiet"}, more...)
		return testtools.Command(t, "bin/versitygw", append(args, "posix", dir)...)
	})
	s.Dir = dir
	return s
}

// Bucket returns the name of a new bucket of the S3 server, or that of the bucket of OCELLI_TEST_AWS, in which tests keep
// apart by prefix.
func Bucket(t TB, s *Server) string {
	t.Helper()
	if name, ok := account(t, "bucket"); ok {
		return name
	}
	name := Name()
	client := s3.NewFromConfig(s.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("make a bucket: %v", err)
	}
	return name
}

// Moto starts a server for EC2, IAM, CloudFormation, Auto Scaling and more, with empty state, which a Stop loses.
func Moto(t TB) *Server {
	t.Helper()
	address := testtools.Address(t)
	host, port, _ := strings.Cut(address, ":")
	return daemon(t, address, func() *exec.Cmd {
		return testtools.Command(t, "venv-aws/bin/moto_server", "-H", host, "-p", port)
	})
}

//go:embed fauxqs.mjs
var fauxqs string

// SQS starts an SQS server without queues.
func SQS(t TB) *Server {
	t.Helper()
	if _, ok := account(t, "region"); ok {
		return realServer(t)
	}
	module := filepath.Join(testtools.Dir(t), "node_modules/fauxqs/dist/app.js")
	if _, err := os.Stat(module); err != nil {
		t.Fatalf("%s is missing: run scripts/testtools.sh", module)
	}
	cmd := exec.Command("node", "--input-type=module", "-e", fauxqs, module)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the SQS server (is Node.js installed?): %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait() // it ends with its input
	})
	lines := bufio.NewReader(out)
	next := func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the SQS server ended: %v", err)
		}
		return strings.TrimSpace(line)
	}
	say := func(word string) {
		if _, err := fmt.Fprintln(in, word); err != nil {
			t.Fatalf("the SQS server ended: %v", err)
		}
		next()
	}
	return &Server{URL: next(), t: t, start: func() { say("start") }, stop: func() { say("stop") }}
}

// daemon runs a program that serves HTTP at the address, and has no way to close its port but to end.
func daemon(t TB, address string, command func() *exec.Cmd) *Server {
	t.Helper()
	var running *exec.Cmd
	s := &Server{URL: "http://" + address, t: t}
	s.stop = func() {
		if running != nil {
			running.Process.Kill()
			running.Wait() // says that it was killed
			running = nil
		}
	}
	s.start = func() {
		running = command()
		var said strings.Builder
		running.Stdout, running.Stderr = io.Discard, &said
		endWithParent(running)
		if err := running.Start(); err != nil {
			t.Fatal(err)
		}
		if err := answers(s.URL); err != nil {
			s.stop() // after which nothing writes what it said any more
			t.Fatalf("%s does not answer: %v\n%s", filepath.Base(command().Path), err, said.String())
		}
	}
	t.Cleanup(s.stop)
	s.start()
	return s
}

// answers waits until the server gives any answer.
func answers(url string) error {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // a real process is waited for
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			return nil
		}
		if time.Now().After(end) {
			return err
		}
	}
}
