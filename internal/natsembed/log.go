package natsembed

import (
	"fmt"
	"log/slog"
	"strings"
)

// writeFailed is in the line that the server logs when it could not write to a stream or a consumer
// (setWriteErrLocked in its stream.go and consumer.go). From then on it answers nobody who writes there,
// also when there is space again.
const writeFailed = "critical write error"

// serverLog passes the server's log lines on, and picks out those after which it is of no more use. The
// server's own logger ends the process after a fatal line.
type serverLog struct {
	log    *slog.Logger
	failed chan string // of size 1: the first such line
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, failed: make(chan string, 1)}
}

func (l *serverLog) fail(line string) {
	select {
	case l.failed <- line:
	default:
	}
}

// Fatalf is called by the server when it cannot start.
func (l *serverLog) Fatalf(format string, v ...any) { l.fail(fmt.Sprintf(format, v...)) }

// Errorf is called by the server.
func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.log.Error("nats: " + line)
	if strings.Contains(strings.ToLower(line), writeFailed) {
		l.fail(line)
	}
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
