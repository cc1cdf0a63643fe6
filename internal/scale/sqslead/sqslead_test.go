package sqslead

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/scale/leadtest"
)

// takeoverTime is the promise of [scale.Leadership], with room for a busy machine.
const takeoverTime = 15 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // they do little but wait for leases to pass
	os.Exit(m.Run())
}

var holders atomic.Int32

func open(t *testing.T, server *awstest.Server, name string) *Leadership {
	t.Helper()
	l, err := Open(t.Context(), server.Config(), name, fmt.Sprint("test ", holders.Add(1)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLeadership(t *testing.T) {
	t.Parallel()
	server := awstest.SQS(t)
	leadtest.Run(t, func(*testing.T) leadtest.Open {
		name := awstest.Name()
		return func(t *testing.T) scale.Leadership { return open(t, server, name) }
	})
}

func TestAnotherLeadsAfterTheHolderFellSilent(t *testing.T) {
	t.Parallel()
	server, name := awstest.SQS(t), awstest.Name()
	dead := open(t, server, name)
	if tok, err := dead.take(t.Context()); err != nil || tok == nil {
		t.Fatalf("took no token: %v", err)
	}
	second := leadtest.Stand(t, open(t, server, name), func() {})
	leadtest.Await(t, "another leads after the lease", second.Began, takeoverTime)
}

func TestHolderStopsWhenItCannotRenew(t *testing.T) {
	t.Parallel()
	server, name := awstest.SQS(t), awstest.Name()
	first := leadtest.Stand(t, open(t, server, name), func() {})
	leadtest.Await(t, "it leads", first.Began, takeoverTime)
	start := time.Now()
	server.Stop()
	leadtest.Await(t, "it stops before another could begin", first.Ended, takeoverTime)
	t.Logf("stopped %v after SQS did", time.Since(start))
	server.Start()
	second := leadtest.Stand(t, open(t, server, name), func() {})
	first.Quit(t)
	leadtest.Await(t, "another leads", second.Began, takeoverTime)
}

// Two tokens, as candidates that start at the same moment may leave, give no two leads.
func TestMoreTokensThanOne(t *testing.T) {
	t.Parallel()
	server, name := awstest.SQS(t), awstest.Name()
	a, b := open(t, server, name), open(t, server, name)
	for range 2 {
		if err := a.send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if tok, err := a.take(t.Context()); err != nil || tok == nil {
		t.Fatalf("took no token: %v", err)
	}
	if tok, err := b.take(t.Context()); err != nil || tok != nil {
		t.Errorf("the second token was given away too: %v, %v", tok, err)
	}
}
