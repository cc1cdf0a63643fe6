package fleet_test

import (
	"testing"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/fleettest"
)

func TestMem(t *testing.T) {
	fleettest.Run(t, func(t *testing.T) fleettest.World {
		m := fleet.NewMem(0, nil)
		t.Cleanup(m.Close)
		return fleettest.World{
			Launcher: m,
			Exits:    m.Exits(),
			Again:    func(*testing.T) fleet.Launcher { return m },
		}
	})
}
