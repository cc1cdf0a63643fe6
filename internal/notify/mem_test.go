package notify_test

import (
	"testing"

	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/notify/notifytest"
)

func TestMem(t *testing.T) {
	notifytest.Run(t, func(*testing.T) (notify.Bus, notify.Bus) {
		b := notify.NewMem()
		return b, b
	})
}
