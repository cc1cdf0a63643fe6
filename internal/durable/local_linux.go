package durable

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// isLocal reports whether the folder lies in a file system that is used by this machine alone, and that keeps locks,
// appends whole and flushes all it has when told to.
func isLocal(folder *os.File) (bool, error) {
	var stat unix.Statfs_t
	if err := uninterrupted("fstatfs", func() error { return unix.Fstatfs(int(folder.Fd()), &stat) }); err != nil {
		return false, err
	}
	local := []int64{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}
	return slices.Contains(local, int64(stat.Type)), nil
}

// lifeOf names the time since the file system of the folder was mounted, by the kernel's boot and the mount's number. It is
// empty where the kernel does not tell, before Linux 6.8.
func lifeOf(folder *os.File) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", nil
	}
	var stat unix.Statx_t
	err = uninterrupted("statx", func() error {
		return unix.Statx(int(folder.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID_UNIQUE, &stat)
	})
	if err != nil || stat.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return "", err
	}
	return fmt.Sprintf("%s %d", strings.TrimSpace(string(boot)), stat.Mnt_id), nil
}

// syncFileSystem flushes all that the file system of the folder holds.
func syncFileSystem(folder *os.File) error {
	return uninterrupted("syncfs", func() error { return unix.Syncfs(int(folder.Fd())) })
}

// lockRange locks one byte of the file against other open files, in whatever process.
func lockRange(f *os.File, at int64) error { return setRange(f, unix.F_OFD_SETLKW, unix.F_WRLCK, at) }

// tryLockRange is lockRange, and ends in EWOULDBLOCK where another has the lock.
func tryLockRange(f *os.File, at int64) error { return setRange(f, unix.F_OFD_SETLK, unix.F_WRLCK, at) }

func unlockRange(f *os.File, at int64) error { return setRange(f, unix.F_OFD_SETLK, unix.F_UNLCK, at) }

func setRange(f *os.File, command int, how int16, at int64) error {
	lock := unix.Flock_t{Type: how, Start: at, Len: 1}
	return uninterrupted("fcntl", func() error { return unix.FcntlFlock(f.Fd(), command, &lock) })
}

// isLinked reports whether the open file still has a name.
func isLinked(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink > 0
}
