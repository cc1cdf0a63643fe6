package natsembed

import (
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	cfg.Token, cfg.Logger = "secret", quiet()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// put stores one message in the stream S, which it makes.
func put(t *testing.T, s *Server) {
	t.Helper()
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func TestTokenIsNeeded(t *testing.T) {
	s := start(t, Config{})
	if nc, err := nats.Connect(s.ClientURL()); err == nil {
		nc.Close()
		t.Error("connected without a token")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.Token("secret"))
	if err != nil {
		t.Fatalf("connect with the token: %v", err)
	}
	nc.Close()
	if strings.Contains(s.ClientURL(), "secret") {
		t.Error("the address holds the token")
	}
	if _, err := Start(t.Context(), Config{Dir: t.TempDir(), Logger: quiet()}); err == nil {
		t.Error("started without a token")
	}
}

func TestStoreSurvivesShutdown(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	put(t, s)
	s.Shutdown()
	s.Shutdown() // a second time does nothing

	s = start(t, Config{Dir: dir})
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages after a restart, and one was sent", n)
	}
}

func TestStartTellsWhatIsWrong(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	used := start(t, Config{})
	usedDir := filepath.Dir(used.lock.Name())
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	s := start(t, Config{Dir: damaged})
	put(t, s)
	s.Shutdown()
	damage(t, damaged)

	for name, test := range map[string]struct {
		cfg  Config
		want string
	}{
		"port in use":            {Config{Listen: busy.Addr().String()}, "address already in use; stop what listens there, or choose another address"},
		"folder in use":          {Config{Dir: usedDir}, "another Ocelli uses the folder"},
		"folder is a file":       {Config{Dir: filepath.Join(file, "queue")}, "choose a data folder that can be written"},
		"stream cannot be read":  {Config{Dir: damaged}, "store is damaged"},
		"address makes no sense": {Config{Listen: "127.0.0.1:no-such-port"}, "cannot listen on 127.0.0.1:no-such-port"},
	} {
		t.Run(name, func(t *testing.T) {
			test.cfg.Token, test.cfg.Logger = "secret", quiet()
			if test.cfg.Dir == "" {
				test.cfg.Dir = t.TempDir()
			}
			s, err := Start(t.Context(), test.cfg)
			if err == nil {
				s.Shutdown()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, and it should say %q", err, test.want)
			}
		})
	}
}

// damage overwrites the description of every stream in the store.
func damage(t *testing.T, dir string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "meta.inf" {
			found++
			err = os.WriteFile(path, []byte("not what it was"), 0o600)
		}
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("damaged %d descriptions: %v", found, err)
	}
}

func TestFolderIsFreeAfterAFailedStart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(ctx, Config{Dir: dir, Token: "secret", Logger: quiet()}); err == nil {
		s.Shutdown()
		t.Fatal("started though its context had ended")
	}
	start(t, Config{Dir: dir})
}

// What a full disk looks like was seen on a small tmpfs: this line, and no answers after it.
func TestServerIsReplacedWhenItsDiskTookNoMore(t *testing.T) {
	s := start(t, Config{})
	put(t, s)
	inside, err := s.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	outside, err := nats.Connect(s.ClientURL(), nats.Token("secret"), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}()

	old := s.server
	s.log.Errorf("JetStream failed to store a msg on stream '%s': %s", "S", "some other reason")
	for range 2 {
		s.log.Errorf("Filestore [%s] Critical write error: %s", "S", "no space left on device")
	}
	old.WaitForShutdown()
	for _, nc := range []*nats.Conn{inside, outside} {
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // a real server is waited for
			stream, err := js.Stream(t.Context(), "S")
			if err == nil && stream.CachedInfo().State.Msgs == 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("a connection does not find its message: %v", err)
			}
		}
	}
}

func TestADiskWithoutSpaceIsNotUsed(t *testing.T) {
	if err := probe(t.TempDir()); err != nil {
		t.Errorf("a disk with space: %v", err)
	}
	if err := probe("/dev/full/queue"); err == nil {
		t.Error("a folder that is none: no error")
	}
}
