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
	mu    sync.Mutex
	w     io.Writer
	flush *http.ResponseController
}

func (e *events) send(kind string, id int, v any) error {
	return e.write(fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", id, kind, encode(v)))
}

func (e *events) write(text []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.flush.Flush()
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
