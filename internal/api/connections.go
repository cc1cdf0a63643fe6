package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// Connections bounds how many connections a server has open. Beyond Most the one that has been idle for longest is closed to make room,
// so that whoever opens connections and does nothing with them keeps nobody out. Its fields are set before first use.
type Connections struct {
	Most  int
	Count func(open int) // is told how many are open whenever that changes; may be nil

	mu   sync.Mutex
	open map[net.Conn]*list.Element // the place in idle, nil for one with a request on its way
	idle list.List                  // of net.Conn, idle for longest first
}

// State follows the state of a connection; it is the [http.Server.ConnState] of the server.
func (c *Connections) State(conn net.Conn, state http.ConnState) {
	if victim := c.note(conn, state); victim != nil {
		victim.Close() // which its own goroutine notices
	}
}

// note takes in what has become of a connection and returns the one to be closed, if any.
func (c *Connections) note(conn net.Conn, state http.ConnState) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]*list.Element{}
	}
	place, known := c.open[conn]
	if place != nil {
		c.idle.Remove(place)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
	}
	if c.Count != nil && known != (state != http.StateClosed && state != http.StateHijacked) {
		c.Count(len(c.open))
	}
	if state == http.StateNew && len(c.open) > c.Most {
		return c.idle.Front().Value.(net.Conn) // the new one where no other is idle
	}
	return nil
}
