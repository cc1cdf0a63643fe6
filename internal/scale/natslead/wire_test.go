package natslead

import (
	"net"
	"strings"
	"sync"
	"testing"
)

// wire passes bytes between clients and a server, and nothing while it is frozen.
type wire struct {
	listener net.Listener
	flow     sync.RWMutex // read-locked while bytes pass
	frozen   bool
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l}
	t.Cleanup(func() { w.thaw(); l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", strings.TrimPrefix(server, "nats://"))
			if err != nil {
				client.Close()
				continue
			}
			go w.pass(client, up)
			go w.pass(up, client)
		}
	}()
	return w
}

func (w *wire) addr() string { return w.listener.Addr().String() }

func (w *wire) pass(from, to net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		w.flow.RLock()
		_, err = to.Write(b[:n])
		w.flow.RUnlock()
		if err != nil {
			return
		}
	}
}

func (w *wire) freeze() {
	w.flow.Lock()
	w.frozen = true
}

func (w *wire) thaw() {
	if w.frozen {
		w.frozen = false
		w.flow.Unlock()
	}
}
