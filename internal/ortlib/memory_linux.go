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
	// An os.File closes its descriptor when it is collected; this one stays open beside it.
	stays, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	f := os.NewFile(uintptr(fd), "memory file")
	if err = errors.Join(err, decompress(f, packed, sum), f.Close()); err != nil {
		return "", fmt.Errorf("unpack into a memory file: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", stays), nil
}
