package sqsqueue

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // the cases mostly wait for leases to pass
	os.Exit(m.Run())
}

// opener returns what opens queues of the server.
func opener(server *awstest.Server) func(t *testing.T, lease time.Duration) queue.Queue {
	return func(t *testing.T, lease time.Duration) queue.Queue { return open(t, server, lease) }
}

func open(t *testing.T, server *awstest.Server, lease time.Duration) *Queue {
	t.Helper()
	q, err := Open(t.Context(), server.Config(), Config{Name: awstest.Name(), Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.remove(t) })
	return q
}

func TestQueue(t *testing.T) { t.Parallel(); queuetest.Run(t, opener(awstest.SQS(t))) }
func TestFair(t *testing.T)  { t.Parallel(); queuetest.Fair(t, opener(awstest.SQS(t))) }
