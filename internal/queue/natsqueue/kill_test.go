package natsqueue

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
)

// childEnv names the folder that this test binary serves, when it is run again as a child.
const childEnv = "NATSQUEUE_TEST_CHILD"

// child serves until it is killed, and prints its address.
func child() int {
	s, err := serve(os.Getenv(childEnv), "")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(s.ClientURL())
	select {}
}

// spawn starts a child that serves dir, and returns its address and what kills it with signal 9.
func spawn(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Kill()
			cmd.Wait() // says that it was killed
		}
	}
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	return strings.TrimSpace(line), kill
}

func openAt(t *testing.T, url string) (*Queue, *nats.Conn) {
	t.Helper()
	nc, err := nats.Connect(url, nats.Token("secret"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	q, err := Open(t.Context(), nc, Config{Name: "kill", Lease: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return q, nc
}

func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	queuetest.Restart(t, func(t *testing.T) (queue.Queue, func()) {
		url, kill := spawn(t, dir)
		q, nc := openAt(t, url)
		return q, func() { nc.Close(); kill() }
	})
}

// Four senders send as fast as they can, alone and in batches, until the server is killed under them.
func TestAcceptedMessagesSurviveKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, kill := spawn(t, dir)
	q, nc := openAt(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	accepted := make(chan int)
	for sender := range 4 {
		go func() {
			n := 0
			for size := 1; ; size = size%20 + 1 {
				var msgs []queue.Message
				for i := range size {
					msgs = append(msgs, queue.Message{ID: fmt.Sprintf("%d-%d", sender, n+i), Group: fmt.Sprint(n), Body: []byte("x")})
				}
				if q.Send(ctx, msgs...) != nil {
					break
				}
				n += size
			}
			accepted <- n
		}()
	}
	<-time.After(500 * time.Millisecond) // of sending
	kill()
	nc.Close()
	want := 0
	for range 4 {
		want += <-accepted
	}
	url, _ = spawn(t, dir)
	q, _ = openAt(t, url)
	got := backlog(t, q)
	t.Logf("%d messages were accepted, and %d are there after the kill", want, got)
	if want == 0 || got < int64(want) {
		t.Errorf("%d messages were accepted, and %d are there after the kill", want, got)
	}
}
