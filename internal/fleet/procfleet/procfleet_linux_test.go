package procfleet_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/fleettest"
	"github.com/ocelli/ocelli/internal/fleet/procfleet"
)

// helperEnv makes this test binary a worker, or a parent of workers, instead of running the tests.
const helperEnv = "OCELLI_PROCFLEET_HELPER"

func TestMain(m *testing.M) {
	mode := os.Getenv(helperEnv)
	if mode == "" {
		os.Exit(m.Run())
	}
	if err := helper(mode); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
}

func helper(mode string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch mode {
	case "worker": // drains on SIGTERM and when the parent ends
		watched, stop, err := procfleet.WatchParent(ctx)
		if err != nil {
			return err
		}
		defer stop()
		fmt.Println("ready", os.Getenv(fleet.NameEnv), os.Getpid())
		<-watched.Done()
		fmt.Println("drained:", context.Cause(watched))
		return nil
	case "deaf": // neither watches its lifeline nor cares for SIGTERM
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "crash":
		fmt.Println("first words")
		return errors.New("cannot open model.onnx: \x1b[31mno such file")
	case "segfault":
		return syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "shout":
		fmt.Print(strings.Repeat("x", 100_000), "\nshort\n")
		return nil
	case "parent": // launches deaf workers and prints their ids
		return parent(ctx)
	default:
		return fmt.Errorf("no such helper: %s", mode)
	}
}

func parent(ctx context.Context) error {
	l, err := procfleet.New(config("deaf"))
	if err != nil {
		return err
	}
	go l.Run(ctx)
	all, err := l.Launch(ctx, "w-1", "w-2", "w-3")
	if err != nil {
		return err
	}
	for _, inst := range all {
		fmt.Println(inst.ID)
	}
	fmt.Println("launched")
	select {}
}

func config(mode string) procfleet.Config {
	return procfleet.Config{
		Command: []string{os.Args[0]},
		// The race detector makes a process linger for a second at its end.
		Env:   []string{helperEnv + "=" + mode, "GORACE=atexit_sleep_ms=0"},
		Grace: 5 * time.Second,
	}
}

// open runs a launcher until the test ends, or until the function it returns is called.
func open(t *testing.T, config procfleet.Config) (*procfleet.Launcher, func()) {
	t.Helper()
	l, err := procfleet.New(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(end)
	return l, end
}

func TestSuite(t *testing.T) {
	fleettest.Run(t, func(t *testing.T) fleettest.World {
		l, _ := open(t, config("worker"))
		return fleettest.World{Launcher: l, Exits: l.Exits()}
	})
}

func TestNoCommand(t *testing.T) {
	if _, err := procfleet.New(procfleet.Config{}); err == nil {
		t.Error("a launcher without a command")
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	l, _ := open(t, procfleet.Config{Command: []string{"/does/not/exist"}})
	launched, err := l.Launch(t.Context(), "w-1")
	if err == nil || !strings.Contains(err.Error(), "w-1") || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("Launch: %v; want an error that names the worker and the command", err)
	}
	if all, err := l.List(t.Context()); len(launched)+len(all) != 0 || err != nil {
		t.Errorf("launched %v, alive %v, %v; want nothing", launched, all, err)
	}
}

// TestExits: how each way of ending is told.
func TestExits(t *testing.T) {
	tests := []struct{ mode, how, said string }{
		{"shout", "", "short"},
		{"crash", "exit status 3", "cannot open model.onnx: \uFFFD[31mno such file"},
		{"segfault", "exit status 2", "SIGSEGV: segmentation violation"},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			l, _ := open(t, config(tt.mode))
			if _, err := l.Launch(t.Context(), "w-1"); err != nil {
				t.Fatal(err)
			}
			e := receive(t, l.Exits())
			if e.Name != "w-1" || e.How != tt.how || e.Said != tt.said {
				t.Errorf("the exit is %+v, want how %q and said %q", e, tt.how, tt.said)
			}
		})
	}
}

// TestCrewLearnsOfCrashes: what a worker said as it died is what the crew says is wrong.
func TestCrewLearnsOfCrashes(t *testing.T) {
	l, _ := open(t, config("crash"))
	crew := fleet.NewCrew(l, fleet.NewRoster(nil), slog.New(slog.DiscardHandler), fleet.CrewConfig{Exits: l.Exits()})
	var trouble string
	eventually(t, "the crew to see trouble", func() bool {
		seen, err := crew.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := crew.Resize(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		trouble = seen.Trouble
		return trouble != ""
	})
	const want = "ocelli-worker-1 crashed (exit status 3: cannot open model.onnx"
	if !strings.Contains(trouble, want) || !strings.HasSuffix(trouble, "next start in 1s") {
		t.Errorf("trouble: %s; want it to say %q", trouble, want)
	}
}

func TestOutputIsRelayedInBoundedLines(t *testing.T) {
	var out syncBuffer
	c := config("shout")
	c.Output = &out
	l, end := open(t, c)
	if _, err := l.Launch(t.Context(), "w-1", "w-2"); err != nil {
		t.Fatal(err)
	}
	receive(t, l.Exits())
	receive(t, l.Exits())
	end()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	var short int
	for _, line := range lines {
		if len(line) > 4200 {
			t.Errorf("a line of %d bytes", len(line))
		}
		if line == "w-1 | short" || line == "w-2 | short" {
			short++
		} else if !strings.HasSuffix(line, "x … (cut)") {
			t.Errorf("unexpected line %.80q", line)
		}
	}
	if len(lines) != 4 || short != 2 {
		t.Errorf("%d lines, %d of them the short ones; want 4 and 2", len(lines), short)
	}
}

func TestDrainedWorkerEndsCleanly(t *testing.T) {
	var out syncBuffer
	c := config("worker")
	c.Output = &out
	l, _ := open(t, c)
	if _, err := l.Launch(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "w-1 | ready w-1 ")
	if err := l.Drain(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, l.Exits()); e.How != "" {
		t.Errorf("the exit is %v, want a clean one", e)
	}
}

// TestEndOfRun: Run drains, then kills those that do not listen, and leaves nothing behind.
func TestEndOfRun(t *testing.T) {
	for _, mode := range []string{"worker", "deaf"} {
		t.Run(mode, func(t *testing.T) {
			var out syncBuffer
			c := config(mode)
			c.Output = &out
			if mode == "deaf" {
				c.Grace = 100 * time.Millisecond
			}
			l, end := open(t, c)
			launched, err := l.Launch(t.Context(), "w-1")
			if err != nil {
				t.Fatal(err)
			}
			out.waitFor(t, "w-1 | ready")
			end()
			if e := receive(t, l.Exits()); (e.How == "") != (mode == "worker") {
				t.Errorf("the exit of a %s is %q", mode, e.How)
			}
			if !gone(launched[0].ID) {
				t.Errorf("process %s is alive after Run", launched[0].ID)
			}
			if _, err := l.Launch(t.Context(), "w-2"); err == nil {
				t.Error("Launch works after Run has ended")
			}
		})
	}
}

// TestKilledParent: workers that listen to nothing end with a parent that was killed.
func TestKilledParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperEnv+"=parent")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var ids []string
	for lines := bufio.NewScanner(stdout); lines.Scan() && lines.Text() != "launched"; {
		ids = append(ids, lines.Text())
	}
	if len(ids) != 3 {
		t.Fatalf("the parent launched %q, want 3 workers", ids)
	}
	for _, id := range ids {
		if gone(id) {
			t.Errorf("worker %s ended before its parent", id)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		eventually(t, "process "+id+" to end", func() bool { return gone(id) })
	}
}

// TestThreadOfLaunchEnds: the kernel's death signal is bound to a thread, which must not be the caller's.
func TestThreadOfLaunchEnds(t *testing.T) {
	var out syncBuffer
	c := config("deaf")
	c.Output = &out
	c.Grace = 100 * time.Millisecond
	l, _ := open(t, c)
	tid := make(chan string)
	var onOtherThread func()
	onOtherThread = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if syscall.Gettid() == os.Getpid() {
			go onOtherThread() // the first thread of a process never ends before it
			<-t.Context().Done()
			return
		}
		if _, err := l.Launch(t.Context(), "w-1"); err != nil {
			t.Error(err)
		}
		tid <- strconv.Itoa(syscall.Gettid())
	}
	go onOtherThread()
	thread := <-tid
	eventually(t, "thread "+thread+" to end", func() bool {
		_, err := os.Stat("/proc/self/task/" + thread)
		return err != nil
	})
	out.waitFor(t, "w-1 | ready")
	if all, err := l.List(t.Context()); len(all) != 1 || err != nil {
		t.Errorf("alive: %v, %v; want the worker", all, err)
	}
}

// TestLifeline: a worker behind a shell that forks, so no child of the launcher's, ends when the shell was killed. (Its output
// is read for a second more, and then the lifeline is cut.)
func TestLifeline(t *testing.T) {
	var out syncBuffer
	c := config("worker")
	c.Command = []string{"/bin/sh", "-c", `"$0"; exit 7`, os.Args[0]}
	c.Output = &out
	l, _ := open(t, c)
	if _, err := l.Launch(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "w-1 | ready w-1 ")
	if err := l.Terminate(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	if e := receive(t, l.Exits()); e.How != "signal: killed" {
		t.Errorf("the exit is %v", e)
	}
	_, pid, _ := strings.Cut(out.String(), "w-1 | ready w-1 ")
	pid, _, _ = strings.Cut(pid, "\n")
	eventually(t, "process "+pid+" to end", func() bool { return gone(pid) })
}

func TestWatchParent(t *testing.T) {
	t.Run("no launcher", func(t *testing.T) {
		ctx, stop, err := procfleet.WatchParent(t.Context())
		if err != nil || ctx != t.Context() {
			t.Fatalf("WatchParent = %v, %v; want the context itself", ctx, err)
		}
		stop()
	})
	t.Run("lifeline cut", func(t *testing.T) {
		ctx, ours := watch(t)
		ours.Close()
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), procfleet.ErrParentGone) {
			t.Errorf("the cause is %v", context.Cause(ctx))
		}
		if os.Getenv(procfleet.LifelineEnv) != "" {
			t.Error("the variable is still set: a process of the worker's own would take it for its own")
		}
	})
	for _, value := range []string{"x", "-1", "1", "9999"} {
		t.Run("set to "+value, func(t *testing.T) {
			t.Setenv(procfleet.LifelineEnv, value)
			if _, _, err := procfleet.WatchParent(t.Context()); err == nil || !strings.Contains(err.Error(), procfleet.LifelineEnv) {
				t.Errorf("WatchParent: %v; want an error that names the variable", err)
			}
		})
	}
}

func watch(t *testing.T) (context.Context, *os.File) {
	t.Helper()
	theirs, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(theirs.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	t.Cleanup(func() { ours.Close() })
	t.Setenv(procfleet.LifelineEnv, strconv.Itoa(fd))
	ctx, stop, err := procfleet.WatchParent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return ctx, ours
}

// gone reports whether the process has ended: a zombie that nobody has reaped yet counts as ended.
func gone(id string) bool {
	pid, err := strconv.Atoi(id)
	if err != nil || syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + id + "/stat")
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return err != nil || bytes.HasPrefix(after, []byte("Z"))
}

func receive(t *testing.T, exits <-chan fleet.Exit) fleet.Exit {
	t.Helper()
	select {
	case e := <-exits:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no worker has ended within 10 s")
		return fleet.Exit{}
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

// syncBuffer is a buffer that a test can read while workers write to it.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*syncBuffer)(nil)

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *syncBuffer) waitFor(t *testing.T, text string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the output %q", text), func() bool { return strings.Contains(b.String(), text) })
}
