package main

import (
	"errors"
	"math"
	"runtime/debug"
	"syscall"
)

// nodeMemory is what a web node keeps its memory near by collecting garbage more often. It bounds nothing by force.
const nodeMemory = 96 << 20

// limitMemory applies nodeMemory, unless GOMEMLIMIT says otherwise.
func limitMemory() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(nodeMemory)
	}
}

func isAddressInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
