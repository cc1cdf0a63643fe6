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
	flag.Set("test.parallel", "6") // the cases mostly wait for leases to pass
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

// One server serves all tests, but for those that stop it.
func TestQueue(t *testing.T) {
	server := awstest.SQS(t)
	for name, test := range map[string]func(*testing.T, *awstest.Server){
		"contract": func(t *testing.T, server *awstest.Server) { queuetest.Run(t, opener(server)) },
		"fair":     func(t *testing.T, server *awstest.Server) { queuetest.Fair(t, opener(server)) },
		"a message that SQS has put aside is counted, and comes again": deadLetters,
		"messages of others are delivered":                             foreign,
		"nobody holds a message for over twelve hours":                 twelveHours,
		"a queue that is opened again is the same":                     reopened,
		"open tells what is wrong":                                     refused,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server)
		})
	}
}
