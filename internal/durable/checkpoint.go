package durable

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// purgeDelay is how long the bytes of a file that was removed may stay in the journal.
const purgeDelay = 10 * time.Second

// checkpoint drops all logs but the last. When it returns, what they hold is in its place for good.
func (j *journal) checkpoint() error {
	return j.exclusively(func() error {
		names, err := j.logs()
		if err != nil || len(names) < 2 {
			return err
		}
		return j.dropLogs(names[:len(names)-1])
	})
}

// dropLogs waits until all records of the logs are carried out, flushes the file system, and removes the logs.
func (j *journal) dropLogs(names []string) error {
	for _, name := range names {
		if err := j.waitFor(name); err != nil {
			return err
		}
	}
	if err := j.syncfs(j.dir); err != nil {
		return err
	}
	// In order, and each for good before the next: an old log that came back would undo what newer ones did.
	for _, name := range names {
		if err := j.sys.Unlink(j.dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := j.sys.Sync(j.dir); err != nil {
			return err
		}
	}
	return nil
}

// waitFor returns when nobody is in the log any more.
func (j *journal) waitFor(name string) error {
	f, err := j.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return flock(f, unix.LOCK_EX)
}

// purgeSoon makes that what was written until now is not in the journal any more in a while.
func (j *journal) purgeSoon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.purge == nil {
		j.pending.Add(1)
		j.purge = time.AfterFunc(purgeDelay, j.purgeNow)
	}
}

// purgeNow ends what purgeSoon began.
func (j *journal) purgeNow() {
	defer j.pending.Done()
	j.mu.Lock()
	j.purge = nil
	j.mu.Unlock()
	_ = j.turnOver() // what it leaves undone the next checkpoint does
}

// turnOver begins a new log and drops those before it.
func (j *journal) turnOver() error {
	l, fresh, err := j.tryEnter()
	if err != nil || l == nil {
		return err
	}
	if fresh {
		j.leave(l)
	}
	if err := j.begin(l); err != nil {
		return err
	}
	return j.checkpoint()
}
