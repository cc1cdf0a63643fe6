package main

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// What processes keep their memory near, by collecting garbage more often. It bounds nothing by force. Without it Go lets the heap
// grow to twice what is in use: a worker would pass 512 MB on large images, of which [decode.Limits] has 384 MiB in use at most.
//
// What is in use must stay well below, or the collector never rests: a web node holds 25 KB for each connection, 280 MB for 11,000.
const (
	nodeMemory   = 512 << 20
	workerMemory = 400 << 20
)

// spareThreads is how many more threads of Go may run than there are cores: some wait for the disk or for a network, which Go finds out late.
const spareThreads = 2

// tune sets such a limit of memory, unless GOMEMLIMIT does, and the number of threads, unless GOMAXPROCS does.
func tune(memory int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(memory)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareThreads)
	}
}

// collectSeldom lets the heap of a worker grow to several times what is in use, up to that limit, unless GOGC says otherwise: of an image
// next to nothing stays in use, so each collection finds little and costs as much as a large part of an image.
func collectSeldom() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// restWhenIdle gives memory back to the system whenever work has ended, until ctx ends: by itself Go would keep for minutes what it took for
// the last images.
func restWhenIdle(ctx context.Context, idle func() bool) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for rested := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if now := idle(); now && !rested {
			debug.FreeOSMemory()
			rested = true
		} else if !now {
			rested = false
		}
	}
}

func isAddressInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// mostUploads bounds the requests with bodies that a node has in hand at once.
const mostUploads = 4096

// mostConnections is how many connections a node takes: what it may open as files, less what it needs besides.
func mostConnections() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 512
	}
	return int(min(max(limit.Cur*3/4, 64), 50_000))
}

// connectionMemory is what an open connection takes: its buffers and the stack of its goroutine.
const connectionMemory = 32 << 10

// roomForConnections raises the limit of a node's memory by what its connections take, in steps: the collector would otherwise work
// against them without end, since they cannot be collected. What it returns is called by one goroutine at a time.
func roomForConnections() func(open int) {
	const step = 512
	last := 0
	return func(open int) {
		if os.Getenv("GOMEMLIMIT") == "" && (open-last >= step || last-open >= step) {
			last = open
			debug.SetMemoryLimit(nodeMemory + int64(open+step)*connectionMemory)
		}
	}
}
