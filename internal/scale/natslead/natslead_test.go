package natslead

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/scale/leadtest"
)

// childEnv holds the address and the bucket for which this test binary stands when it is run again as a child.
const childEnv = "NATSLEAD_TEST_CHILD"

// takeoverTime is the promise of [scale.Leadership].
const takeoverTime = 10 * time.Second

var (
	quiet   = slog.New(slog.DiscardHandler)
	broker  *natsembed.Server
	buckets atomic.Int32
)

func TestMain(m *testing.M) {
	if at := os.Getenv(childEnv); at != "" {
		os.Exit(child(at))
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // they do little but wait for leases to pass
	os.Exit(serve(m))
}

func serve(m *testing.M) int {
	dir, err := os.MkdirTemp("", "natslead-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	broker, err = natsembed.Start(context.Background(), natsembed.Config{Dir: dir, Token: "secret", Logger: quiet})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer broker.Shutdown()
	return m.Run()
}

// child is a candidate that says when it leads and when no more, and lives until it is killed.
func child(at string) int {
	address, name, _ := strings.Cut(at, " ")
	l, nc, err := connect(context.Background(), address, Config{Name: name})
	if err == nil {
		defer nc.Close()
		err = l.Lead(context.Background(), func(ctx context.Context) error {
			fmt.Println("leads")
			<-ctx.Done()
			fmt.Println("leads no more")
			return nil
		})
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func connect(ctx context.Context, address string, cfg Config) (*Leadership, *nats.Conn, error) {
	nc, err := nats.Connect(address, nats.Token("secret"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	cfg.Holder = fmt.Sprint("test ", os.Getpid())
	l, err := Open(ctx, nc, cfg, quiet)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return l, nc, nil
}

func bucket() string { return fmt.Sprint("lead-", buckets.Add(1)) }

func open(t *testing.T, address, name string) *Leadership {
	t.Helper()
	return openConfig(t, address, Config{Name: name})
}

func openConfig(t *testing.T, address string, cfg Config) *Leadership {
	t.Helper()
	l, nc, err := connect(t.Context(), address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return l
}

func TestContract(t *testing.T) {
	t.Parallel()
	leadtest.Run(t, func(*testing.T) leadtest.Open {
		name := bucket()
		return func(t *testing.T) scale.Leadership { return open(t, broker.ClientURL(), name) }
	})
}

// A holder that is cut off from the server, and lives, stops before the next one begins.
func TestHolderThatIsCutOffStopsInTime(t *testing.T) {
	t.Parallel()
	name := bucket()
	wire := newWire(t, broker.ClientURL())
	cut := leadtest.Stand(t, open(t, "nats://"+wire.addr(), name), func() {})
	leadtest.Await(t, "the first leads", cut.Began, takeoverTime)
	next := leadtest.Stand(t, open(t, broker.ClientURL(), name), func() {})
	wire.freeze()
	select {
	case <-cut.Ended:
	case <-next.Began:
		t.Fatal("the next leads before the first has stopped")
	case <-time.After(takeoverTime):
		t.Fatal("the first never stops")
	}
	stopped := time.Now()
	leadtest.Await(t, "another leads", next.Began, takeoverTime)
	t.Logf("%v lie between the end of one and the beginning of the next", time.Since(stopped).Round(time.Millisecond))
	wire.thaw()
}

// A wire that is dead for less than a lease costs nothing.
func TestShortSilenceIsBorne(t *testing.T) {
	t.Parallel()
	name := bucket()
	wire := newWire(t, broker.ClientURL())
	first := leadtest.Stand(t, open(t, "nats://"+wire.addr(), name), func() {})
	leadtest.Await(t, "the first leads", first.Began, takeoverTime)
	wire.freeze()
	select {
	case <-first.Ended:
		t.Fatal("the lead is lost by a silence of a second")
	case <-time.After(time.Second):
	}
	wire.thaw()
	select {
	case <-first.Ended:
		t.Error("the lead is lost after the silence")
	case <-time.After(lease):
	}
}
