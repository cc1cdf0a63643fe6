package api

import (
	"net"
	"net/http"
	"sync"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
)

// Crowd bounds how many requests with a body are in hand at once, since each takes memory and files while it comes in. One client has at
// most half of what the others leave, so there is always room for one more. Its fields are set before first use.
type Crowd struct {
	Most   int
	Next   http.Handler
	Refuse func(w http.ResponseWriter, r *http.Request, err error)

	mu    sync.Mutex
	all   int
	hands map[string]int // by client
}

func (c *Crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		c.Next.ServeHTTP(w, r)
		return
	}
	client := clientOf(r)
	if !c.enter(client) {
		c.Refuse(w, r, ocelli.Errorf(ocelli.Overloaded, "too many uploads are on their way at once: try again in a moment"))
		return
	}
	defer c.leave(client)
	c.Next.ServeHTTP(w, r)
}

// enter reports whether there is room for one more request of the client, and takes it.
func (c *Crowd) enter(client string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := c.hands[client]
	if others := c.all - mine; mine >= max(1, (c.Most-others)/2) || c.all >= c.Most {
		return false
	}
	if c.hands == nil {
		c.hands = map[string]int{}
	}
	c.hands[client]++
	c.all++
	return true
}

func (c *Crowd) leave(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.hands[client]--; c.hands[client] == 0 {
		delete(c.hands, client)
	}
}

// clientOf tells clients apart: by the owner of their key, or by where they come from.
func clientOf(r *http.Request) string {
	if owner := access.Owner(r.Context()); owner != "" {
		return "owner " + owner
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
