package procfleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// LifelineEnv is the environment variable that holds the number of the file descriptor of a worker's lifeline.
const LifelineEnv = "OCELLI_LIFELINE_FD"

// ErrParentGone is the cause of a context of [WatchParent] that ended with the parent.
var ErrParentGone = errors.New("the process that launched this worker has ended")

// WatchParent is called by a worker: the context it returns ends with [ErrParentGone] when the process that launched it
// has ended, however that came about. In a process that no [Launcher] launched it is ctx. Call it once, before
// the worker starts processes of its own. stop ends the watch.
func WatchParent(ctx context.Context) (watched context.Context, stop context.CancelFunc, err error) {
	number := os.Getenv(LifelineEnv)
	if number == "" {
		return ctx, func() {}, nil
	}
	os.Unsetenv(LifelineEnv)
	lifeline, err := openLifeline(number)
	if err != nil {
		return nil, nil, fmt.Errorf("%s=%q is set and is no lifeline; unset it, only the launcher sets it: %w", LifelineEnv, number, err)
	}
	watched, cancel := context.WithCancelCause(ctx)
	go func() {
		// Nothing is ever written: the read returns when the last write end is closed, or by stop. After a stop where
		// the descriptor cannot be polled it stays, in one parked thread, until the process ends.
		_, _ = io.Copy(io.Discard, lifeline)
		cancel(ErrParentGone)
	}()
	return watched, func() { cancel(context.Canceled); lifeline.Close() }, nil
}

func openLifeline(number string) (*os.File, error) {
	fd, err := strconv.Atoi(number)
	if err != nil || fd < lifelineFD {
		return nil, errors.New("not the number of a file descriptor")
	}
	f := os.NewFile(uintptr(fd), "lifeline")
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode()&os.ModeNamedPipe == 0 {
		return nil, errors.New("not a pipe")
	}
	syscall.CloseOnExec(fd)
	return f, nil
}
