package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/landlock-lsm/go-landlock/landlock/syscall"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli/client"
)

// condition tells stories what this machine can.
func condition(name string) (bool, error) {
	switch name {
	case "servers", "tools": // of scripts/testtools.sh: servers that speak the protocols of AWS, clients of ours
		return os.Getenv("OCELLI_TEST_TOOLS") != "", nil
	case "corpus": // of hostile files, beside the repository
		_, err := os.Stat(corpus)
		return err == nil, nil
	case "confines":
		abi, err := syscall.LandlockGetABIVersion()
		return err == nil && abi >= 6, nil
	}
	return false, fmt.Errorf("the condition %q is not known", name)
}

// plantedBinary is the program with a hole in its decoder; see cmd/ocelli/decoder_planted.go.
var plantedBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "planted")
	out, err := exec.Command("go", "build", "-tags=nodynamic,planted", "-o", path, "../cmd/ocelli").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the planted binary: %w\n%s", err, out)
	}
	return path, nil
})

// planted makes the service run the planted program, and sets OUTSIDE to an address where somebody listens.
func planted(ts *testscript.TestScript, _ bool, _ []string) {
	path, err := plantedBinary()
	ts.Check(err)
	serviceOf(ts).binary = path
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("OUTSIDE", l.Addr().String())
}

// plant IMAGE FILE ORDER… makes FILE of an image and an order to the hole.
func plant(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(data, "\nocelli-plant: "+strings.Join(args[2:], " ")...), 0o644))
}

// confined fails unless there is a worker, and every thread of every worker is confined.
func confined(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := client.New(serviceOf(ts).url)
	ts.Check(err)
	status, err := c.Status(context.Background())
	ts.Check(err)
	threads := 0
	for _, w := range status.Workers {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", w.PID))
		ts.Check(err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // the thread has ended
			}
			if !strings.Contains(string(text), "NoNewPrivs:\t1") || !strings.Contains(string(text), "Seccomp:\t2") {
				ts.Fatalf("%s tells of a thread that is not confined:\n%s", file, text)
			}
			threads++
		}
	}
	if threads < 3 {
		ts.Fatalf("%d threads of %d workers could be looked at", threads, len(status.Workers))
	}
	ts.Logf("%d threads of %d workers are confined", threads, len(status.Workers))
}
