package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// disk is an ext4 file system in a file, mounted in this program's own namespace.
type disk struct{ image, at string }

// A run of a quarter of an hour leaves some 50,000 files.
const (
	diskBytes = 512 << 20
	diskFiles = 250_000
)

func newDisk(dir string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, "disk.ext4"), at: filepath.Join(dir, "disk")}
	err := errors.Join(os.MkdirAll(d.at, 0o755), os.WriteFile(d.image, nil, 0o644), os.Truncate(d.image, diskBytes))
	if err != nil {
		return nil, err
	}
	// No blocks are kept back for root, who would never see a full disk then.
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "1024", "-N", strconv.Itoa(diskFiles), d.image); err != nil {
		return nil, err
	}
	return d, d.mount()
}

func (d *disk) mount() error   { return command("mount", "-o", "loop", d.image, d.at) }
func (d *disk) unmount() error { return command("umount", d.at) }

// fill leaves no byte free until mend is called.
func (d *disk) fill() (mend func() error, err error) {
	path := filepath.Join(d.at, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Space is taken without being written, so that the machine's own disk does not suffer.
	for at, piece := int64(0), int64(diskBytes); piece > 0; {
		if err := unix.Fallocate(int(f.Fd()), 0, at, piece); err != nil {
			piece /= 2
			continue
		}
		at += piece
	}
	return func() error { return os.Remove(path) }, nil
}

// Of linux/fs.h.
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// slow makes writes stand still for most of the time, until ctx ends: the file system is frozen and let go in turns (ioctl_fs(2), FIFREEZE).
func (d *disk) slow(ctx context.Context, still time.Duration) error {
	folder, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer folder.Close()
	for ctx.Err() == nil {
		if err := unix.IoctlSetPointerInt(int(folder.Fd()), fiFreeze, 0); err != nil {
			return fmt.Errorf("freezing the disk: %w", err)
		}
		wait(ctx, still)
		if err := unix.IoctlSetPointerInt(int(folder.Fd()), fiThaw, 0); err != nil {
			return fmt.Errorf("letting the disk go: %w", err)
		}
		wait(ctx, still/8)
	}
	return nil
}

// cut is the loss of power, as far as the disk is concerned: what has not been flushed is lost, the journal's last entries too. From then on all
// calls fail. Of fs/ext4/ext4.h: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH.
func (d *disk) cut() error {
	const shutdown, noLogFlush = 0x8004587D, 2
	folder, err := os.Open(d.at)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := unix.IoctlSetPointerInt(int(folder.Fd()), shutdown, noLogFlush); err != nil {
		return fmt.Errorf("cutting the disk's power: %w", err)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
