package main

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// It is seen in a process of its own, so that the other tests are not scheduled like that.
func TestComputeAsBatch(t *testing.T) {
	const inside = "OCELLI_TEST_BATCH"
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestComputeAsBatch$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	threads := func(n int) (stay func()) {
		var ready sync.WaitGroup
		end := make(chan struct{})
		for range n {
			ready.Add(1)
			go func() {
				runtime.LockOSThread()
				ready.Done()
				<-end
			}()
		}
		ready.Wait()
		return func() { close(end) }
	}
	defer threads(5)()
	computeAsBatch()
	defer threads(5)() // which come later
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range all {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		attr, err := unix.SchedGetAttr(id, 0)
		if err != nil {
			continue // it has ended
		}
		if attr.Policy != unix.SCHED_BATCH {
			t.Errorf("thread %d of %d has policy %d", id, len(all), attr.Policy)
		}
	}
	if len(all) < 11 {
		t.Errorf("only %d threads were looked at", len(all))
	}
}
