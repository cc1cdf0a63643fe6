// Package sandbox confines this process for the rest of its life, before it reads what strangers have sent: a worker decodes
// images and runs a network over them in native code, and whoever finds a hole there must find nothing behind it.
//
// # What is taken away
//
//   - Files: everything but the folders and files of the [Policy], by Landlock (https://docs.kernel.org/userspace-api/landlock.html).
//   - Network: TCP connections to other ports than those of the policy, by Landlock; and by seccomp every socket that is not TCP
//     over IP, and all listening.
//   - Other processes: starting programs, forking, signals to and looks into others, by seccomp and Landlock.
//   - The rest of the kernel: every system call that is not on a list of some hundred, by seccomp
//     (https://docs.kernel.org/userspace-api/seccomp_filter.html).
//   - Privileges: no_new_privs, no core dumps, and a bound on the memory that can be written to.
//
// It holds for all threads, those of native libraries too, and cannot be undone. What is open stays open.
//
// # Not promised
//
// Landlock knows ports and no addresses: who takes the process over can speak to the port of the broker, or of the store, on any
// machine that the network lets it reach. What the process itself must be able to do, to read images and to write results, the
// intruder can do too.
package sandbox

import (
	"errors"
	"fmt"
	"strings"
)

// Policy is what a process may still do.
type Policy struct {
	Write   []string // folders below which it reads and writes; they must exist
	Read    []string // files, and folders below which it reads; those that do not exist are passed over
	Connect []uint16 // TCP ports that it connects to
	Resolve bool     // it looks hosts up by name: the resolver's files, and UDP
	// Memory is how many bytes it may make writable beyond those that are so now; 0 is no bound. What goes beyond fails, which
	// ends the process as a rule.
	Memory uint64
}

// ErrUnsupported is the error of a system that cannot confine a process, or not fully.
var ErrUnsupported = errors.New("this system cannot confine processes")

// Modes of a setting: confine as far as the system can, insist on all of it, or do not.
const (
	Auto    = "auto"
	Require = "require"
	Off     = "off"
)

// CheckMode says what is wrong with the value of such a setting.
func CheckMode(mode string) error {
	switch mode {
	case Auto, Require, Off:
		return nil
	}
	return fmt.Errorf("%q is not known: choose %s, %s or %s", mode, Auto, Require, Off)
}

// Enter confines the process. It returns what holds from now on, in a few words, and what of the policy does not: an error that
// is [ErrUnsupported] where the system is too old, while the rest holds. After any other error the state is not known, and
// the process should end.
func Enter(p Policy) (holds string, err error) {
	held, missing, err := enter(p)
	if err != nil {
		return strings.Join(held, ", "), fmt.Errorf("confining the process: %w", err)
	}
	if len(missing) > 0 {
		return strings.Join(held, ", "), fmt.Errorf("%w: %s", ErrUnsupported, strings.Join(missing, "; "))
	}
	return strings.Join(held, ", "), nil
}
