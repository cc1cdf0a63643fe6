package natsembed

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog passes the server's log lines on. The server's own logger ends the process after a fatal line;
// this one remembers it, for Start to return.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal string
}

func (l *serverLog) firstFatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// Fatalf is called by the server when it cannot start.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		l.fatal = fmt.Sprintf(format, v...)
	}
}

// Errorf is called by the server.
func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, v...))
}

// Warnf is called by the server.
func (l *serverLog) Warnf(format string, v ...any) { l.log.Warn("nats: " + fmt.Sprintf(format, v...)) }

// Noticef is called by the server, about fifteen times for a start and an end.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats: " + fmt.Sprintf(format, v...))
}

// Debugf is not called: the server is told not to.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef is not called: the server is told not to.
func (l *serverLog) Tracef(string, ...any) {}
