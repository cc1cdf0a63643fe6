package natsembed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockDir makes the folder and takes it for this process: the server itself would let two processes write
// into one store. The file that it returns holds the lock until it is closed.
func lockDir(dir string) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("start the message server: a folder for its store is needed")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the queue: %w; choose a data folder that can be written", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the folder of the queue cannot be written: %w; choose another data folder, or give this user the right to write there", err)
	}
	free, err := tryLock(f)
	if err != nil {
		err = fmt.Errorf("lock the queue's folder %s: %w", dir, err)
	} else if !free {
		err = fmt.Errorf("another Ocelli uses the folder %s: stop it, or choose another data folder", dir)
	}
	if err == nil {
		err = tryWrite(dir)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// tryWrite finds out whether a file can be made in dir. The server looks too, but keeps to itself why it cannot.
func tryWrite(dir string) error {
	probe := filepath.Join(dir, "probe")
	err := os.WriteFile(probe, make([]byte, 4<<10), 0o600)
	if gone := os.Remove(probe); err == nil {
		err = gone
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk of the queue's folder %s is full, of bytes or of files: free some space there and start again; what was accepted is kept (%w)", dir, err)
	case err != nil:
		return fmt.Errorf("the folder of the queue cannot be written: %w; look at its disk, or choose another data folder", err)
	}
	return nil
}
