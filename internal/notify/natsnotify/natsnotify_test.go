package natsnotify

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/notify/notifytest"
)

func TestBus(t *testing.T) {
	server, err := natsembed.Start(t.Context(), natsembed.Config{
		Dir: t.TempDir(), Token: "secret", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	var buses atomic.Int64
	notifytest.Run(t, func(t *testing.T) (notify.Bus, notify.Bus) {
		prefix := fmt.Sprint("test.", buses.Add(1))
		var ends [2]notify.Bus
		for i, connect := range []func() (*nats.Conn, error){
			func() (*nats.Conn, error) { return server.Connect() },
			func() (*nats.Conn, error) { return nats.Connect(server.ClientURL(), nats.Token("secret")) },
		} {
			nc, err := connect()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(nc.Close)
			if ends[i], err = New(nc, prefix); err != nil {
				t.Fatal(err)
			}
		}
		return ends[0], ends[1]
	})
}

func TestPrefixIsChecked(t *testing.T) {
	for _, prefix := range []string{"", "a.>", "*"} {
		if _, err := New(nil, prefix); err == nil {
			t.Errorf("opened a bus with prefix %q", prefix)
		}
	}
}
