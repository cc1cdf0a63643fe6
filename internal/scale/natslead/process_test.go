//go:build unix

package natslead

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/scale/leadtest"
)

// spawn starts a candidate in a process of its own and returns its lines.
func spawn(t *testing.T, name string) (*os.Process, <-chan string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+broker.ClientURL()+" "+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	return cmd.Process, lines
}

func says(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	select {
	case got := <-lines:
		if got != want {
			t.Fatalf("the child says %q, want %q", got, want)
		}
	case <-time.After(takeoverTime):
		t.Fatalf("the child does not say %q", want)
	}
}

func TestTakesOverFromAHolderThatIsKilled(t *testing.T) {
	t.Parallel()
	name := bucket()
	process, lines := spawn(t, name)
	says(t, lines, "leads")
	next := leadtest.Stand(t, open(t, broker.ClientURL(), name), func() {})
	killed := time.Now()
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	leadtest.Await(t, "another leads", next.Began, takeoverTime)
	t.Logf("took over after %v", time.Since(killed).Round(time.Millisecond))
}

// A process that is stopped and runs again finds at once that it leads no more.
func TestTakesOverFromAHolderThatIsStopped(t *testing.T) {
	t.Parallel()
	name := bucket()
	process, lines := spawn(t, name)
	says(t, lines, "leads")
	next := leadtest.Stand(t, open(t, broker.ClientURL(), name), func() {})
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	leadtest.Await(t, "another leads", next.Began, takeoverTime)
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	says(t, lines, "leads no more")
	next.Quit(t)
	says(t, lines, "leads")
}
