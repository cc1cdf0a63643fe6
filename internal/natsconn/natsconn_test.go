package natsconn

import (
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/natsembed"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func serve(t *testing.T, dir, listen string) *natsembed.Server {
	t.Helper()
	s, err := natsembed.Start(t.Context(), natsembed.Config{Dir: dir, Listen: listen, Token: "secret", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func TestFromEnv(t *testing.T) {
	got := FromEnv(func(name string) string { return strings.ToLower(strings.TrimPrefix(name, "OCELLI_NATS_")) })
	want := Config{Token: "token", Seed: "seed", Creds: "creds", CA: "ca", Cert: "cert", Key: "key"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string // part of the error, "" for none
	}{
		{Config{URL: "nats://127.0.0.1:4222"}, ""},
		{Config{URL: "tls://a.example:4222,tls://b.example:4222", Token: "x"}, ""},
		{Config{URL: "nats://user:hidden@host:4222"}, "OCELLI_NATS_TOKEN"},
		{Config{URL: "nats://hidden@host:4222"}, "OCELLI_NATS_TOKEN"},
		{Config{URL: ""}, "must look like"},
		{Config{URL: "http://host"}, "must look like"},
		{Config{URL: "nats://host:4222?x=1"}, "must look like"},
		{Config{URL: "nats://a:4222,sqs://b"}, `"sqs://b"`},
		{Config{URL: "nats://host", Token: "x", Creds: "y"}, "only one"},
		{Config{URL: "nats://host", Cert: "x"}, "together"},
	} {
		err := test.cfg.Validate()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.cfg.URL, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, and it should say %q", test.cfg.URL, err, test.want)
		case err != nil && strings.Contains(err.Error(), "hidden"):
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestConnectTellsWhatToDo(t *testing.T) {
	s := serve(t, t.TempDir(), "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{URL: s.ClientURL(), Token: "wrong"}, "OCELLI_NATS_TOKEN"},
		{Config{URL: "nats://" + l.Addr().String()}, "check that the server runs"},
		{Config{URL: s.ClientURL(), CA: "no-such-file"}, "no-such-file"},
	} {
		test.cfg.Logger = quiet()
		nc, err := Connect(test.cfg)
		if err == nil {
			nc.Close()
			t.Errorf("%+v: connected", test.cfg)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %q, and it should say %q", err, test.want)
		}
	}
}

func TestConnectionComesBack(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir, "")
	addr := strings.TrimPrefix(s.ClientURL(), "nats://")
	nc, err := Connect(Config{URL: s.ClientURL(), Name: "test", Token: "secret", Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s.Shutdown()
	serve(t, dir, addr)
	for end := time.Now().Add(10 * time.Second); nc.FlushTimeout(time.Second) != nil; {
		if time.Now().After(end) {
			t.Fatalf("the connection did not come back: %v", nc.Status())
		}
	}
}

func TestBackoffGrowsToItsBound(t *testing.T) {
	for attempt, most := range map[int]time.Duration{
		0: 50 * time.Millisecond, 1: 100 * time.Millisecond, 4: 800 * time.Millisecond, 8: maxBackoff, 1 << 40: maxBackoff,
	} {
		if d := backoff(attempt); d < most/2 || d > most {
			t.Errorf("attempt %d: %v, and it should be from %v to %v", attempt, d, most/2, most)
		}
	}
}
