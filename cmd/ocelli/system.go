package main

import (
	"errors"
	"math"
	"runtime/debug"
	"syscall"
)

// What processes keep their memory near, by collecting garbage more often. It bounds nothing by force. Without it Go lets the heap
// grow to twice what is in use: a worker would pass 512 MB on large images, of which [decode.Limits] has 384 MiB in use at most.
//
// What is in use must stay well below, or the collector never rests: a web node holds 25 KB for each connection, 280 MB for 11,000.
const (
	nodeMemory   = 512 << 20
	workerMemory = 400 << 20
)

// limitMemory sets such a limit, unless GOMEMLIMIT does.
func limitMemory(bytes int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(bytes)
	}
}

func isAddressInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
