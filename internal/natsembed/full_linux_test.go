package natsembed

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestFullDisk fills a real disk, a small one, to the last byte while messages come, and frees it again: what was accepted is there, and new
// messages are taken without a new start.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("ocelli-test", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("this needs a disk of its own, which root may mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	s := start(t, Config{Dir: filepath.Join(disk, "queue")})
	nc, err := s.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	accepted := uint64(0)
	send := func() bool {
		_, err := js.Publish(t.Context(), "s", make([]byte, 4<<10))
		if err == nil {
			accepted++
		}
		return err == nil
	}
	for range 100 {
		if !send() {
			t.Fatal("an empty disk takes no message")
		}
	}
	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	f.Close()
	for send() {
	}
	t.Logf("%d messages were accepted before the disk was full", accepted)
	before := accepted
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !send(); time.Sleep(50 * time.Millisecond) { // a real server is waited for
		if time.Now().After(end) {
			t.Fatal("the server takes no message though there is space again")
		}
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	// One that was answered with an error may be there as well: its sender sends it again under the same id.
	if n := stream.CachedInfo().State.Msgs; n < before+1 {
		t.Errorf("%d messages are there, and %d were accepted", n, before+1)
	}
}

// TestStartOnAFullDisk fills a disk by the number of its files, when some bytes are left.
func TestStartOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("ocelli-test", disk, "tmpfs", 0, "size=16m,nr_inodes=200"); err != nil {
		t.Skipf("this needs a disk of its own, which root may mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	cfg := Config{Dir: filepath.Join(disk, "queue")}
	start(t, cfg).Shutdown()
	var files []string
	for {
		name := filepath.Join(disk, strconv.Itoa(len(files)))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			break
		}
		files = append(files, name)
	}
	cfg.Token = "t"
	if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "full, of bytes or of files: free some space") {
		t.Fatalf("on a full disk: %v", err)
	}
	for _, name := range files[:8] { // the server needs some
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	start(t, cfg)
}
