package natslead

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/scale/leadtest"
)

// cluster starts three servers that keep each key on all of them.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("a cluster takes seconds to start")
	}
	// Each must know a route when it starts, so the ports are looked for before.
	var ports []int
	var routes []*url.URL
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		l.Close()
	}
	var servers []*server.Server
	for i, port := range ports {
		s, err := server.NewServer(&server.Options{
			ServerName: fmt.Sprint("server-", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, Authorization: "secret", NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), Routes: routes,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers = append(servers, s)
	}
	for _, s := range servers {
		await(t, "the cluster has a leader", func() bool { return s.JetStreamIsCurrent() && s.ReadyForConnections(time.Second) })
	}
	return servers
}

func await(t *testing.T, what string, happens func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happens(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

func TestContractOnACluster(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	leadtest.Run(t, func(*testing.T) leadtest.Open {
		cfg, next := Config{Name: bucket(), Replicas: len(servers)}, 0
		return func(t *testing.T) scale.Leadership {
			next++
			return openConfig(t, servers[next%len(servers)].ClientURL(), cfg)
		}
	})
}

// The server that ends leads the stream in one case of three, and then another is elected meanwhile.
func TestAServerOfAClusterEnds(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	cfg := Config{Name: bucket(), Replicas: len(servers)}
	first := leadtest.Stand(t, openConfig(t, servers[0].ClientURL(), cfg), func() {})
	leadtest.Await(t, "the first leads", first.Began, leadtest.HandoverTime)
	next := leadtest.Stand(t, openConfig(t, servers[1].ClientURL(), cfg), func() {})
	servers[2].Shutdown()
	select {
	case <-next.Began:
		select {
		case <-first.Ended: // the election took longer than a lease
		default:
			t.Fatal("two lead at once")
		}
	case <-time.After(lease + pause):
	}
	first.Quit(t)
	leadtest.Await(t, "the next leads", next.Began, leadtest.HandoverTime)
}
