package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// bucket and queue of the service cloud.
const bucket = "chaos"

// lacksCloud says why the service cloud cannot be run, or nothing.
func lacksCloud(m *machine) string {
	if m.tools == "" {
		return "OCELLI_TEST_TOOLS does not name the folder of its servers: `make chaos` does"
	}
	for _, file := range []string{"bin/versitygw", "node_modules/fauxqs/dist/app.js"} {
		if _, err := os.Stat(filepath.Join(m.tools, file)); err != nil {
			return fmt.Sprintf("%s is missing: run scripts/testtools.sh", file)
		}
	}
	return ""
}

// raiseCloud starts one process a role, on an S3 and an SQS server.
func raiseCloud(s *service, m *machine) error {
	s.keepers = []string{"scale"}
	s.env = append(s.env, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=chaos", "AWS_SECRET_ACCESS_KEY=chaos-secret", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	address, err := freeAddress()
	if err != nil {
		return err
	}
	// The server keeps objects as files, so that its store can be looked at like a folder. A bucket is a folder, too.
	s.data = filepath.Join(s.dir, "s3", bucket)
	if err := os.MkdirAll(s.data, 0o755); err != nil {
		return err
	}
	err = s.keep("s3", func() *exec.Cmd {
		return exec.Command(filepath.Join(m.tools, "bin/versitygw"), "--access", "chaos", "--secret", "chaos-secret", "--region", "us-east-1",
			"--port", address, "--quiet", "posix", filepath.Dir(s.data))
	})
	if err != nil {
		return err
	}
	if s.sqs, err = startSQS(s, m); err != nil {
		return err
	}
	return s.roles("--queue=sqs://"+bucket+"?endpoint="+s.sqs.url, "--blobs=s3://"+bucket+"?path_style=true&endpoint=http://"+address)
}

// sqsServer is a stand-in for SQS. It keeps its queues in memory, and so is never killed: its port is closed in place of that.
type sqsServer struct {
	url     string
	service *service
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startSQS(s *service, m *machine) (*sqsServer, error) {
	script, err := os.ReadFile(filepath.Join(s.bin, sqsScript))
	if err != nil {
		return nil, err
	}
	q := &sqsServer{service: s}
	q.cmd = exec.Command("node", "--input-type=module", "-e", string(script), filepath.Join(m.tools, "node_modules/fauxqs/dist/app.js"))
	q.cmd.Stderr = os.Stderr
	if q.in, err = q.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := q.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	q.out = bufio.NewReader(out)
	if err := q.cmd.Start(); err != nil {
		return nil, err
	}
	q.url, err = q.hear()
	return q, err
}

func (q *sqsServer) hear() (string, error) {
	line, err := q.out.ReadString('\n')
	return strings.TrimSpace(line), err
}

// say tells the server to "stop" or to "start" listening.
func (q *sqsServer) say(word string) error {
	if _, err := fmt.Fprintln(q.in, word); err != nil {
		return err
	}
	_, err := q.hear()
	return err
}

func (q *sqsServer) kinds() []kind {
	return []kind{
		{"SQS server gone", q.service.mended(func() (func() error, error) {
			return func() error { return q.say("start") }, q.say("stop")
		})},
		{"SQS server frozen", func(ctx context.Context, random *rand.Rand) error {
			return q.service.freeze(func(sig syscall.Signal) error { return q.cmd.Process.Signal(sig) })(ctx, random)
		}},
	}
}

func (q *sqsServer) end() {
	q.in.Close()
	_ = q.cmd.Wait() // it ends with its input
}
