package e2e

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/natsembed"
)

// fleet is what a script runs of a service whose roles are processes of their own.
type fleet struct {
	roles map[string]*role   // by name
	most  atomic.Int64       // workers that observe has seen at once
	stop  context.CancelFunc // ends observe
}

// role is one process of a fleet.
type role struct {
	cmd *exec.Cmd
	url string // of a web node
}

const brokerToken = "token-of-the-stories"

// broker starts a NATS server in this process, and sets QUEUE and BLOBS for the roles of a fleet.
func broker(ts *testscript.TestScript, _ bool, _ []string) {
	server, err := natsembed.Start(context.Background(), natsembed.Config{
		Dir: ts.MkAbs("queue"), Token: brokerToken, Logger: slog.New(slog.DiscardHandler),
	})
	ts.Check(err)
	ts.Defer(server.Shutdown)
	ts.Setenv("OCELLI_NATS_TOKEN", brokerToken)
	ts.Setenv("QUEUE", server.ClientURL())
	ts.Setenv("BLOBS", "file://"+filepath.ToSlash(ts.MkAbs("data")))
}

var servingAt = regexp.MustCompile(`msg=serving address=(\S+)`)

// start NAME ROLE [FLAG…] starts `ocelli ROLE` on the broker, with its log in NAME.log. Of a web node it waits for the
// address; the first sets URL.
func start(ts *testscript.TestScript, _ bool, args []string) {
	s, name, kind := serviceOf(ts), args[0], args[1]
	flags := []string{kind, "--queue=" + ts.Getenv("QUEUE"), "--blobs=" + ts.Getenv("BLOBS"), "--lease=2s"}
	if kind == "serve" {
		flags = append(flags, "--listen=127.0.0.1:0")
	}
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	cmd := exec.Command(binary, append(flags, args[2:]...)...)
	cmd.Env, cmd.Stderr = environment(ts), log
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // a story may have killed it
		timer.Stop()
		log.Close()
	})
	r := &role{cmd: cmd}
	if s.fleet.roles[name] = r; kind == "scale" {
		return
	}
	r.url = "http://" + awaitLog(ts, name, servingAt, 20*time.Second)[1]
	if s.nodes = append(s.nodes, r.url); len(s.nodes) == 1 {
		s.url = s.nodes[0]
		ts.Setenv("URL", s.url)
	}
}

// awaitLog waits until something is in the log of a role.
func awaitLog(ts *testscript.TestScript, name string, what *regexp.Regexp, within time.Duration) []string {
	deadline := time.Now().Add(within)
	for {
		text, err := os.ReadFile(ts.MkAbs(name + ".log"))
		ts.Check(err)
		if found := what.FindStringSubmatch(string(text)); found != nil {
			return found
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not say %s within %v:\n%s", name, what, within, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var leading = regexp.MustCompile(`msg="this process leads"`)

// leads WITHIN waits until another scaler leads than $LEADER, and sets that.
func leads(ts *testscript.TestScript, _ bool, args []string) {
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	s, began := serviceOf(ts), time.Now()
	for time.Since(began) < within {
		for name := range s.fleet.roles {
			text, err := os.ReadFile(ts.MkAbs(name + ".log"))
			ts.Check(err)
			if leading.Match(text) && name != ts.Getenv("LEADER") {
				ts.Setenv("LEADER", name)
				ts.Logf("%s leads after %v", name, time.Since(began).Round(time.Millisecond))
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("no other of %d roles leads within %v", len(s.fleet.roles), within)
}

// signal NAME TERM|KILL|STOP|CONT signals a role. A web node that is killed is one less to ask.
func signal(ts *testscript.TestScript, _ bool, args []string) {
	sig := map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
	}[args[1]]
	s := serviceOf(ts)
	r := s.fleet.roles[args[0]]
	ts.Check(r.cmd.Process.Signal(sig))
	if sig == syscall.SIGKILL {
		s.nodes = slices.DeleteFunc(s.nodes, func(url string) bool { return url == r.url })
	}
}

// says NAME WITHIN PATTERN waits until the log of a role has a line like PATTERN.
func says(ts *testscript.TestScript, _ bool, args []string) {
	within, err := time.ParseDuration(args[1])
	ts.Check(err)
	awaitLog(ts, args[0], regexp.MustCompile(args[2]), within)
}

// observe begins to count the workers that the last web node hears of.
func observe(ts *testscript.TestScript, _ bool, _ []string) {
	s := serviceOf(ts)
	c, err := client.New(s.nodes[len(s.nodes)-1])
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	s.fleet.stop = stop
	ts.Defer(stop)
	go func() {
		for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			if status, err := c.Status(ctx); err == nil {
				s.fleet.most.Store(max(s.fleet.most.Load(), int64(len(status.Workers))))
			}
		}
	}()
}

// at-most N ends what observe began, and fails unless there were workers and never more than N.
func atMost(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	s := serviceOf(ts)
	s.fleet.stop()
	if most := s.fleet.most.Load(); most < 1 || most > n {
		ts.Fatalf("there were up to %d workers, want 1 to %d", most, n)
	}
}

// overtakes SMALL LARGE WITHIN waits until one of the last SMALL jobs is done, and fails unless the LARGE jobs that were
// submitted before them are all running then.
func overtakes(ts *testscript.TestScript, _ bool, args []string) {
	small, err := strconv.Atoi(args[0])
	ts.Check(err)
	large, err := strconv.Atoi(args[1])
	ts.Check(err)
	within, err := time.ParseDuration(args[2])
	ts.Check(err)
	s := serviceOf(ts)
	c, err := client.New(s.url)
	ts.Check(err)
	job := func(i int) *ocelli.Job {
		job, err := c.Job(context.Background(), s.jobs[i])
		ts.Check(err)
		return job
	}
	first := len(s.jobs) - small
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for i := first; i < len(s.jobs); i++ {
			if job(i).State != ocelli.JobDone {
				continue
			}
			for j := first - large; j < first; j++ {
				before := job(j)
				ts.Logf("a job of %d is done; of one of %d sent before it %d are", s.images[i], s.images[j], before.Done)
				if before.State != ocelli.JobRunning {
					ts.Fatalf("a job of %d images had to wait for one of %d", s.images[i], s.images[j])
				}
			}
			return
		}
	}
	ts.Fatalf("none of the %d small jobs is done within %v", small, within)
}

var workersChanged = regexp.MustCompile(`msg="workers changed" want=(\d+).*? reason=("(?:[^"\\]|\\.)*")`)

// ended is a worker's line of the log about an image that it has worked on to the end.
var ended = regexp.MustCompile(`msg="image done".* image=(\S+)`)

// doubles fails where more images were worked on to the end twice than workers were killed.
func doubles(ts *testscript.TestScript, _ bool, _ []string) {
	s := serviceOf(ts)
	text, err := os.ReadFile(s.log.Name())
	ts.Check(err)
	times := map[string]int{}
	for _, found := range ended.FindAllStringSubmatch(string(text), -1) {
		times[found[1]]++
	}
	twice := 0
	for _, n := range times {
		twice += n - 1
	}
	if len(times) == 0 || twice > s.kills {
		ts.Fatalf("%d workers were killed and %d of %d images were done once more", s.kills, twice, len(times))
	}
	ts.Logf("%d workers were killed, %d of %d images were done once more", s.kills, twice, len(times))
}

// explained fails unless `ocelli why` tells a reason for each change of the workers that is in the service's log.
func explained(ts *testscript.TestScript, _ bool, _ []string) {
	log, err := os.ReadFile(ts.MkAbs("up.log"))
	ts.Check(err)
	ts.Check(ts.Exec("ocelli", "why", "--server", serviceOf(ts).url))
	told := ts.ReadFile("stdout")
	changes := workersChanged.FindAllStringSubmatch(string(log), -1)
	if len(changes) == 0 {
		ts.Fatalf("the log tells of no change")
	}
	for _, change := range changes {
		reason, err := strconv.Unquote(change[2])
		ts.Check(err)
		if !strings.Contains(told, change[1]+"  "+reason+"\n") {
			ts.Fatalf("why does not tell of %s", change[0])
		}
	}
	ts.Logf("%d changes are explained", len(changes))
}
