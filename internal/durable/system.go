package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// system is what durability hangs on, in one place so that a test can watch it and break it. Names are single
// parts, relative to an open folder, and symbolic links are not followed; so what is checked is what is used.
type system interface {
	Mkdir(in *os.File, name string) error
	Rename(from *os.File, name string, to *os.File, newName string) error
	Link(from *os.File, name string, to *os.File, newName string) error
	Unlink(in *os.File, name string) error
	Rmdir(in *os.File, name string) error
	Sync(f *os.File) error
}

// kernel is the system that programs run on.
type kernel struct{}

func (kernel) Mkdir(in *os.File, name string) error {
	return uninterrupted("mkdirat", func() error { return unix.Mkdirat(int(in.Fd()), name, folderMode) })
}

func (kernel) Rename(from *os.File, name string, to *os.File, newName string) error {
	return uninterrupted("renameat", func() error { return unix.Renameat(int(from.Fd()), name, int(to.Fd()), newName) })
}

func (kernel) Link(from *os.File, name string, to *os.File, newName string) error {
	return uninterrupted("linkat", func() error { return unix.Linkat(int(from.Fd()), name, int(to.Fd()), newName, 0) })
}

func (kernel) Unlink(in *os.File, name string) error {
	return uninterrupted("unlinkat", func() error { return unix.Unlinkat(int(in.Fd()), name, 0) })
}

func (kernel) Rmdir(in *os.File, name string) error {
	return uninterrupted("unlinkat", func() error { return unix.Unlinkat(int(in.Fd()), name, unix.AT_REMOVEDIR) })
}

// Sync also flushes the cache of the disk; on macOS that is F_FULLFSYNC, see [os.File.Sync].
func (kernel) Sync(f *os.File) error { return f.Sync() }

// uninterrupted repeats call while a signal interrupts it, which file systems in user space let happen.
func uninterrupted(name string, call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError(name, err)
		}
	}
}
