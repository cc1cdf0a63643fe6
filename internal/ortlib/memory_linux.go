package ortlib

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// toMemory unpacks the library into a file that has no place on any disk, for where no folder can be written, and returns a
// path that holds as long as the process lives.
func toMemory(packed []byte, sum string) (string, error) {
	fd, err := unix.MemfdCreate("libonnxruntime.so.1", unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("make a memory file: %w", err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	f := os.NewFile(uintptr(fd), path)
	if err := decompress(f, packed, sum); err != nil {
		return "", errors.Join(err, f.Close())
	}
	inMemory = f
	return path, nil
}

// inMemory keeps the file from being closed by the garbage collector.
var inMemory *os.File
