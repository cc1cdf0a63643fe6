package api

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
)

func TestACrowdOfUploadsLeavesRoomForOthers(t *testing.T) {
	refused := 0
	inside := make(chan struct{})
	c := &Crowd{Most: 8,
		Next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { inside <- struct{}{}; <-r.Context().Done() }),
		Refuse: func(_ http.ResponseWriter, _ *http.Request, err error) {
			refused += len(ocelli.AsError(err).Code) / len(ocelli.Overloaded)
		},
	}
	// try makes a request of a client that stays until the test ends, and reports whether it was let in.
	try := func(client string, body bool) bool {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/jobs", nil)
		if body {
			r = httptest.NewRequestWithContext(t.Context(), "POST", "/v1/jobs", strings.NewReader("x"))
		}
		r.RemoteAddr = client + ":1"
		done := make(chan struct{})
		go func() { c.ServeHTTP(httptest.NewRecorder(), r); close(done) }()
		select {
		case <-inside:
			return true
		case <-done:
			return false
		}
	}
	var got []string
	for _, client := range []string{"a", "a", "a", "a", "a", "b", "b", "b", "c", "d", "e", "f"} {
		got = append(got, fmt.Sprint(client, try(client, true)))
	}
	want := "atrue atrue atrue atrue afalse btrue btrue bfalse ctrue dtrue efalse ffalse"
	if strings.Join(got, " ") != want || refused != 4 {
		t.Errorf("let in were %v, want %s; %d refused", got, want, refused)
	}
	if !try("a", false) {
		t.Error("a request without a body is refused")
	}
}

func TestTheConnectionThatIsIdleForLongestMakesRoom(t *testing.T) {
	conns := make([]net.Conn, 6)
	for i := range conns {
		conns[i], _ = net.Pipe()
	}
	open := 0
	c := &Connections{Most: 3, Count: func(n int) { open = n }}
	closed := func(conn net.Conn, state http.ConnState) int {
		victim := c.note(conn, state)
		for i, other := range conns {
			if victim == other {
				c.note(victim, http.StateClosed)
				return i
			}
		}
		return -1
	}
	for _, step := range []struct {
		conn  int
		state http.ConnState
		want  int // the connection that is closed
		open  int
	}{
		{0, http.StateNew, -1, 1}, {1, http.StateNew, -1, 2}, {2, http.StateNew, -1, 3}, {0, http.StateActive, -1, 3},
		{3, http.StateNew, 1, 3}, {0, http.StateIdle, -1, 3}, {4, http.StateNew, 2, 3}, {3, http.StateActive, -1, 3},
		{0, http.StateActive, -1, 3}, {4, http.StateActive, -1, 3}, {5, http.StateNew, 5, 3}, {3, http.StateClosed, -1, 2}, {5, http.StateNew, -1, 3},
	} {
		if got := closed(conns[step.conn], step.state); got != step.want || open != step.open {
			t.Errorf("when %d became %s, %d was closed, want %d; %d are open, want %d", step.conn, step.state, got, step.want, open, step.open)
		}
	}
}
