// Package fleet starts and ends workers, wherever they run.
package fleet

import (
	"context"
	"time"
)

// Instance is one worker as its launcher sees it: a process or a machine.
type Instance struct {
	Name     string    // "ocelli-worker-1": unique among those alive
	ID       string    // the launcher's own: a process id, an EC2 instance id
	Launched time.Time // when its launch was asked for
}

// Launcher is a seam: where workers come from.
//
// Every method may be called from any number of goroutines. A launcher keeps no memory of its own that a
// restart would lose: List tells what really runs.
type Launcher interface {
	// Launch asks for one worker for each name, all at once. It returns when they have been asked for, not when
	// they work. A name that is already alive is left as it is, so a Launch can be repeated. Where some
	// could not be asked for, it returns those that were, and an error that says why.
	Launch(ctx context.Context, names ...string) ([]Instance, error)

	// List returns the workers alive, or asked for and not yet ended, in the order of their names.
	List(ctx context.Context) ([]Instance, error)

	// Drain asks the workers to stop leasing, finish what they hold, and end. It does not wait. A name that is
	// not alive is no error.
	Drain(ctx context.Context, names ...string) error

	// Terminate ends the workers at once, whatever they do. A name that is not alive is no error.
	Terminate(ctx context.Context, names ...string) error
}
