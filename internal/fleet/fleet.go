// Package fleet starts and ends workers, wherever they run.
package fleet

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
)

// NameEnv is the environment variable by which a worker learns the name it was launched under.
const NameEnv = "OCELLI_WORKER_NAME"

// Instance is one worker as its launcher sees it: a process or a machine.
type Instance struct {
	Name     string    // "ocelli-worker-1": unique among those alive
	ID       string    // the launcher's own: a process id, an EC2 instance id
	Launched time.Time // when its launch was asked for, by the launcher's clock
	Ending   bool      // told to go, by whomever, as far as the launcher can see that
}

// Launcher is a seam: where workers come from.
//
// Every method may be called from any number of goroutines. A launcher keeps no memory of its own that a
// restart would lose: List tells what really runs.
type Launcher interface {
	// Launch asks for one worker for each name, all at once. It returns when they have been asked for, not when
	// they work. A name that is already alive is left as it is, so a Launch can be repeated. It returns what
	// now stands behind the names, in the order they were given; where some could not be asked for, or are no
	// good by [CheckName], those are left out and an error says why.
	Launch(ctx context.Context, names ...string) ([]Instance, error)

	// List returns the workers alive, or asked for and not yet ended, in the order of their names. It has every
	// worker whose Launch returned before List was called, unless that worker has ended.
	List(ctx context.Context) ([]Instance, error)

	// Drain asks the workers to stop leasing, finish what they hold, and end. It does not wait. A name that is
	// not alive is no error.
	Drain(ctx context.Context, names ...string) error

	// Terminate ends the workers at once, whatever they do. A name that is not alive is no error.
	Terminate(ctx context.Context, names ...string) error
}

// Exit tells how a worker ended. A launcher that can learn it sends one for each worker on a channel, before
// List stops naming the worker; where nobody reads the channel, exits are dropped.
type Exit struct {
	Name string
	ID   string // that of the [Instance]
	// How is what the system says of the end, "exit status 2" or "signal: segmentation fault"; "" for a
	// clean end.
	How string
	// Said is the line of the worker's output that tells most, the last one if no better is known, cut to some
	// hundred bytes.
	Said string
}

func (e Exit) String() string {
	how := cmp.Or(e.How, "exit status 0")
	if e.Said == "" {
		return how
	}
	return how + ": " + e.Said
}

// CheckName says what is wrong with the name of a worker: names are made of 1 to 63 lower-case letters,
// digits and "-", since they become host names, tags, and parts of a log line.
func CheckName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	if len(name) < 1 || len(name) > 63 || strings.Trim(name, letters) != "" {
		return fmt.Errorf("%.80q is no name for a worker: use 1 to 63 lower-case letters, digits and dashes", name)
	}
	return nil
}
