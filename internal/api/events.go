package api

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// events writes server-sent events to one client, with comments in between that keep the connection open.
type events struct {
	mu      sync.Mutex
	w       io.Writer
	control *http.ResponseController
}

// writeTime is how long a client may take to read one event.
const writeTime = 30 * time.Second

// send writes an event; an empty id leaves the client's Last-Event-ID as it is.
func (e *events) send(kind, id string, v any) error {
	text := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, encode(v))
	if id != "" {
		text = append([]byte("id: "+id+"\n"), text...)
	}
	return e.write(text)
}

func (e *events) write(text []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	// A client that does not read must not hold what waits for it for ever.
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.control.Flush()
}

// keepAlive writes a comment every so often until stop is called.
func (e *events) keepAlive(every time.Duration) (stop func()) {
	tick := time.NewTicker(every)
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = e.write([]byte(": still here\n\n")) // an error shows at the next event
			}
		}
	})
	return func() {
		tick.Stop()
		close(done)
		running.Wait()
	}
}
