package api

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// stream writes an answer piece by piece, each of which leaves at once: server-sent events or lines of JSON.
type stream struct {
	mu      sync.Mutex
	w       io.Writer
	control *http.ResponseController
}

func newStream(w http.ResponseWriter, mediaType string) *stream {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-Accel-Buffering", "no") // nginx passes each piece on
	return &stream{w: w, control: http.NewResponseController(w)}
}

// event writes a server-sent event; an empty id leaves the client's Last-Event-ID as it is.
func (s *stream) event(kind, id string, v any) error {
	text := fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, encode(v))
	if id != "" {
		text = append([]byte("id: "+id+"\n"), text...)
	}
	return s.write(text)
}

// line writes a value as one line of JSON.
func (s *stream) line(v any) error { return s.write(append(encode(v), '\n')) }

func (s *stream) write(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.w.Write(text); err != nil {
		return err
	}
	return s.control.Flush()
}

// keepAlive writes a comment every so often until stop is called.
func (s *stream) keepAlive(every time.Duration) (stop func()) {
	tick := time.NewTicker(every)
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = s.write([]byte(": still here\n\n")) // an error shows at the next event
			}
		}
	})
	return func() {
		tick.Stop()
		close(done)
		running.Wait()
	}
}
