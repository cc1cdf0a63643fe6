package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// fillMemory makes the system keep a file in the memory that is free, once, as the memory of a machine is full of files that has been up for
// long. What a service writes then takes pages that hold something else. Those that nobody has used yet are slow in a virtual machine, which
// has to ask its host for each, and one round would find more of them than the next.
func (b *bench) fillMemory(ctx context.Context) error {
	free, err := freeMemory()
	if err != nil || free == 0 || b.filled {
		return err
	}
	b.filled = true
	f, err := os.CreateTemp(b.dir, "memory-") // kept until the end, or the memory would be free again
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(free); err != nil {
		return err
	}
	b.say("filling %d MB of memory that is free", free>>20)
	for piece := make([]byte, 1<<20); err == nil && ctx.Err() == nil; {
		_, err = f.Read(piece)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, ctx.Err())
}

// freeMemory is how many bytes of memory hold nothing, or 0 where the system does not tell. Source: proc_meminfo(5).
func freeMemory() (int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "MemFree:")
	var kB int64
	if _, err := fmt.Sscanf(after, "%d kB", &kB); err != nil {
		return 0, fmt.Errorf("read /proc/meminfo: %w", err)
	}
	return kB << 10, nil
}
