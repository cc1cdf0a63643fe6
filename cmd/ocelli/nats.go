package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// connectNATS connects to a NATS server, and again for ever when the connection is lost: what is asked meanwhile waits or fails
// with a time-out, and is repeated by its caller.
func connectNATS(host, name string, log *slog.Logger) (*nats.Conn, error) {
	nc, err := nats.Connect("nats://"+host,
		nats.Name("ocelli "+name), nats.Token(os.Getenv(natsTokenEnv)),
		nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("the connection to the queue is lost; trying to connect again", "server", host, "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("connected to the queue again", "server", host) }),
	)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the queue at nats://%s (%w): is the server running, and is its token in %s?", host, err, natsTokenEnv)
	}
	return nc, nil
}
