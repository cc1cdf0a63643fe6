package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// computeAsBatch tells the kernel that this process computes at length, and that a thread of it that wakes up need not have a core at once:
// it then takes none from a thread that is in the middle of an inference, which would have to fill the caches of the core again. Other
// processes have their turns as ever. See SCHED_BATCH in sched(7). Where that is not allowed, the process works all the same.
//
// A new thread is like the one that made it; so when all threads have been seen to be told, all that come are.
func computeAsBatch() {
	for told := true; told; {
		told = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return
			}
			attr, err := unix.SchedGetAttr(id, 0)
			if err != nil || attr.Policy != unix.SCHED_NORMAL {
				continue // it has ended, or is told already
			}
			attr.Policy = unix.SCHED_BATCH
			if unix.SchedSetAttr(id, attr, 0) == nil {
				told = true
			}
		}
	}
}
