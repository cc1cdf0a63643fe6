package ec2fleet_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet/ec2test"
)

// patience is how long a real process may take on a busy machine.
const patience = time.Minute

// fakeWorker stands in for the binary: it writes down what it sees, and does as its first argument says.
const fakeWorker = `#!/bin/bash
{ echo "name=$OCELLI_WORKER_NAME greeting=$GREETING extra=$EXTRA"; printf 'arg=%s\n' "$@"; } >> "$HOME/seen"
trap 'echo drained >> "$HOME/seen"; exit 0' TERM
case "$1" in
crash) exit 3 ;;
end) exit 0 ;;
esac
while :; do sleep 0.05; done
`

// park is a fleet whose machines are played.
type park struct {
	*ec2fleet.Launcher
	machines *ec2test.Machines
	config   ec2fleet.Config
}

func newPark(t *testing.T, s stand, change func(*ec2fleet.Config)) park {
	t.Helper()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, fakeWorker) }))
	t.Cleanup(files.Close)
	c := s.config()
	c.Boot = ec2fleet.Boot{
		Binary: files.URL + "/ocelli", SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(fakeWorker))),
		Args: []string{"stay", "it's a $HOME \"path\" `id`"}, Env: []string{"GREETING=hello, 'world'"}, MaxLife: time.Hour,
	}
	if change != nil {
		change(&c)
	}
	m := &ec2test.Machines{
		Client: s.client, Fleet: c.Fleet, Dir: t.TempDir(), Env: []string{"EXTRA=of the image"},
		Role: aws.Credentials{AccessKeyID: "ASIAROLE", SecretAccessKey: "secret", SessionToken: "session"},
		Log:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); _ = m.Run(ctx) }()
	p := park{open(t, c), m, c}
	t.Cleanup(func() {
		cancel()
		<-over
		if all, err := p.List(context.Background()); err == nil {
			for _, inst := range all {
				_ = p.Terminate(context.Background(), inst.Name)
			}
		}
	})
	return p
}

// seen waits until the worker of an instance has written down a line.
func (p park) seen(t *testing.T, id, line string) {
	t.Helper()
	path := filepath.Join(p.machines.Dir, id, "seen")
	var text []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if text, _ = os.ReadFile(path); bytes.Contains(text, []byte(line+"\n")) {
			return
		}
	}
	t.Fatalf("the worker of %s has not seen %q, but:\n%s", id, line, text)
}

// gone waits until no instance is alive, and returns how the last one ended.
func (p park) gone(t *testing.T) fleet.Exit {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if all, err := p.List(t.Context()); err == nil && len(all) == 0 {
			return <-p.Exits()
		}
	}
	t.Fatal("an instance is still alive")
	return fleet.Exit{}
}

// TestMachines plays the machines of one stand-in, which takes its time to start.
func TestMachines(t *testing.T) {
	s := newStand(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, stand)
	}{
		{"an instance becomes its worker and drains", testAnInstanceBecomesItsWorkerAndDrains},
		{"an instance ends with its worker", testAnInstanceEndsWithItsWorker},
		{"an instance with a wrong binary ends itself", testAnInstanceWithAWrongBinaryEndsItself},
		{"an instance fetches the binary from a bucket as its role", testAnInstanceFetchesTheBinaryFromABucketAsItsRole},
		{"the time of death", testTheTimeOfDeath},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, s) })
	}
}

func testAnInstanceBecomesItsWorkerAndDrains(t *testing.T, s stand) {
	then := "first"
	p := newPark(t, s, func(c *ec2fleet.Config) { c.Boot.ArgsThen = func() []string { return []string{then} } })
	then = "as at the launch"
	launched, err := p.Launch(t.Context(), "w-7", "w-3")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"w-7", "w-3"} {
		p.seen(t, launched[i].ID, "name="+name+" greeting=hello, 'world' extra=of the image")
		p.seen(t, launched[i].ID, "arg=it's a $HOME \"path\" `id`")
		p.seen(t, launched[i].ID, "arg=as at the launch")
	}
	if err := p.Drain(t.Context(), "w-7", "w-3"); err != nil {
		t.Fatal(err)
	}
	p.seen(t, launched[0].ID, "drained")
	p.gone(t)
}

func testAnInstanceEndsWithItsWorker(t *testing.T, s stand) {
	for does, want := range map[string]int{"end": 1, "crash": 5} {
		p := newPark(t, s, func(c *ec2fleet.Config) { c.Boot.Args = []string{does} })
		launched, err := p.Launch(t.Context(), "w-1")
		if err != nil {
			t.Fatal(err)
		}
		p.gone(t)
		text, err := os.ReadFile(filepath.Join(p.machines.Dir, launched[0].ID, "seen"))
		if err != nil {
			t.Fatal(err)
		}
		if starts := bytes.Count(text, []byte("name=w-1")); starts != want {
			t.Errorf("a worker that does %s was started %d times, want %d", does, starts, want)
		}
	}
}

func testAnInstanceWithAWrongBinaryEndsItself(t *testing.T, s stand) {
	p := newPark(t, s, func(c *ec2fleet.Config) { c.Boot.SHA256 = strings.Repeat("0", 64) })
	launched, err := p.Launch(t.Context(), "w-1")
	if err != nil {
		t.Fatal(err)
	}
	p.gone(t)
	if _, err := os.Stat(filepath.Join(p.machines.Dir, launched[0].ID, "seen")); !os.IsNotExist(err) {
		t.Error("a binary with a wrong checksum was run")
	}
}

func testAnInstanceFetchesTheBinaryFromABucketAsItsRole(t *testing.T, s stand) {
	var authorization, token string
	bucket := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization, token = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		_, _ = io.WriteString(w, fakeWorker)
	}))
	t.Cleanup(bucket.Close)
	p := newPark(t, s, func(c *ec2fleet.Config) { c.Boot.Binary, c.Boot.SignFor = bucket.URL+"/bucket/ocelli", awstest.Region })
	launched, err := p.Launch(t.Context(), "w-1")
	if err != nil {
		t.Fatal(err)
	}
	p.seen(t, launched[0].ID, "arg=stay")
	if !strings.Contains(authorization, "Credential=ASIAROLE/") || !strings.Contains(authorization, "/"+awstest.Region+"/s3/aws4_request") ||
		!strings.Contains(authorization, "x-amz-security-token") || token != "session" {
		t.Errorf("the request was signed as %q with the token %q", authorization, token)
	}
}

func testTheTimeOfDeath(t *testing.T, s stand) {
	p := newPark(t, s, func(c *ec2fleet.Config) { c.Boot.MaxLife = time.Minute })
	launched, err := p.Launch(t.Context(), "w-1")
	if err != nil {
		t.Fatal(err)
	}
	p.seen(t, launched[0].ID, "arg=stay")
	asked, err := os.ReadFile(filepath.Join(p.machines.Dir, launched[0].ID, "asked"))
	if err != nil || !strings.Contains(string(asked), "systemd-run --quiet --on-active=60 systemctl poweroff\n") {
		t.Errorf("systemd was asked for %s: %v", asked, err)
	}
}

func TestASpotNoticeDrains(t *testing.T) {
	var calls, announced = 0, false
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			fmt.Fprint(w, "token")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token":
			http.Error(w, "no token", http.StatusUnauthorized)
		case r.URL.Path == "/latest/meta-data/spot/instance-action" && announced:
			fmt.Fprint(w, `{"action":"terminate","time":"2026-11-23T18:00:00Z"}`)
		default:
			announced = true // at the next look
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(metadata.Close)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	ctx, stop, err := ec2fleet.WatchNotice(t.Context(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	select {
	case <-ctx.Done():
		if context.Cause(ctx) != ec2fleet.ErrTakenBack {
			t.Errorf("the context ended with %v", context.Cause(ctx))
		}
	case <-time.After(patience):
		t.Fatal("the notice was not heard")
	}
}
