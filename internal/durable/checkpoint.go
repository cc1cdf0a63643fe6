package durable

import (
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

const (
	purgeDelay  = 10 * time.Second // how long the bytes of a file that was removed may stay in the journal
	purgeSuffix = ".purge"         // behind the name of a log in the name of its mark
)

// patience is about how long a checkpoint waits for others. Who is in a log for longer has a very slow disk, or was stopped.
const patience = 2 * time.Second

// checkpoint drops all logs but the last. When it returns, what they hold is in its place for good.
//
// Nobody waits for it, since a flush of the file system takes as long as others have written to it: logs are begun, and the tree is opened, while
// it runs. It drops only logs that had a log behind them when it looked, so they were closed, and never the last, which is all that
// whoever begins the next one looks at. What is in later logs is none of its concern: they stay, and are carried out after those that it leaves.
//
// Where somebody was stopped in a log, that log and those behind it stay until he goes on or ends: his file does not have its name yet.
func (j *journal) checkpoint() error {
	return j.dropping(func() error {
		names, err := j.logs()
		if err != nil || len(names) < 2 {
			return err
		}
		return j.dropLogs(names[:len(names)-1], j.carryOutBeside)
	})
}

// dropAll drops all logs, and takes no room on the disk for that. When it returns, all that was done before is in its place for good, entered in
// a log or not. Others wait meanwhile, since nobody can begin a log behind one that goes.
func (j *journal) dropAll() error {
	return j.dropping(func() error {
		return j.exclusively(func() error {
			names, err := j.logs()
			if err != nil || len(names) == 0 {
				return errors.Join(err, j.syncfs(j.dir))
			}
			if err := j.closeLog(names[len(names)-1]); err != nil {
				return err
			}
			return j.dropLogs(names, j.carryOutBeside)
		})
	})
}

// dropping runs do while nobody else drops logs.
func (j *journal) dropping(do func() error) error {
	j.dropper <- struct{}{}
	defer func() { <-j.dropper }()
	if err := patiently(func() error { return flock(j.drops, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	return errors.Join(do(), flock(j.drops, unix.LOCK_UN))
}

// checkpointNow is a checkpoint in the background. What it leaves undone is tried again in a while.
func (j *journal) checkpointNow() {
	if j.checkpoint() != nil {
		j.purgeSoon()
	}
}

// patiently repeats try while a lock is not free, and gives up when that takes too long.
func patiently(try func() error) error {
	for wait := time.Millisecond; ; wait *= 2 {
		if err := try(); !errors.Is(err, unix.EWOULDBLOCK) || wait > patience {
			return err
		}
		time.Sleep(wait)
	}
}

// dropLogs waits until all records of the logs are carried out, flushes the file system, and removes the logs.
//
// Linux tells of a file that could not be written once, and then holds it for clean: the next flush says that all is well, and nothing but the
// journal has its bytes. So a flush is noted before it begins, where it outlives this process, and the note goes when the flush was good. Where an older note is found,
// carryOut, which is told so, has to write anew what the journal holds, also what seems to be in its place. The note need not survive the loss of
// power: then all is read from the disk.
func (j *journal) dropLogs(names []string, carryOut func(doubtful bool) error) error {
	for _, name := range names {
		if err := j.waitFor(name); err != nil {
			return err
		}
	}
	note, err := j.drops.Stat()
	if err != nil {
		return err
	}
	if err := j.drops.Truncate(1); err != nil {
		return err
	}
	if err := carryOut(note.Size() > 0); err != nil {
		return err
	}
	if err := j.syncfs(j.dir); err != nil {
		return err
	}
	if err := j.drops.Truncate(0); err != nil {
		return err
	}
	// In order, and each for good before the next: an old log that came back would undo what newer ones did.
	for _, name := range names {
		for _, file := range []string{name + purgeSuffix, name} {
			if err := j.sys.Unlink(j.dir, file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := j.sys.Sync(j.dir); err != nil {
			return err
		}
	}
	return nil
}

// carryOutBeside carries out the whole journal, where that is called for, while others have the tree open: nobody writes meanwhile, so that nothing is
// undone of what stands in later logs. What a process that was killed had entered and not done yet happens now, like after the loss of power; nobody was told that it
// had happened, and whoever wrote that name since has the last record.
func (j *journal) carryOutBeside(doubtful bool) error {
	if !doubtful {
		return nil
	}
	unlock, err := j.tree.names.lockAll()
	if err != nil {
		return err
	}
	defer unlock()
	names, err := j.logs()
	if err != nil {
		return err
	}
	return j.carryOut(names, doubtful)
}

// waitFor returns nil when nobody is in the log any more.
func (j *journal) waitFor(name string) error {
	f, err := j.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return patiently(func() error { return flock(f, unix.LOCK_EX|unix.LOCK_NB) })
}

// markRemoval marks a log in which a removal was entered, before the file is gone, so that whoever opens the tree after this process was killed knows that there is something
// to purge. The mark goes with the log and need not survive the loss of power: then all logs go.
func (j *journal) markRemoval(l *log) {
	l.removal.Do(func() {
		if f, err := j.root.Create(l.name + purgeSuffix); err == nil { // without it the next checkpoint purges
			f.Close()
		}
	})
}

// purgeLeft makes that logs are dropped soon which a process left that was killed before it did so.
func (j *journal) purgeLeft() error {
	names, err := j.logs()
	if err != nil || len(names) == 0 {
		return err
	}
	_, unmarked := j.root.Lstat(names[len(names)-1] + purgeSuffix)
	if len(names) > 1 || unmarked == nil {
		j.purgeSoon()
	}
	return nil
}

// purgeSoon makes that what was written until now is not in the journal any more in a while.
func (j *journal) purgeSoon() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.purge == nil && !j.closing {
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
	if j.turnOver() != nil {
		j.purgeSoon()
	}
}

// turnOver begins a new log, where the last holds anything, and drops those before it.
func (j *journal) turnOver() error {
	l, fresh, err := j.tryEnter()
	if err != nil || l == nil {
		return err
	}
	empty := false
	if fresh {
		info, err := l.file.Stat()
		empty = err == nil && info.Size() == int64(headBytes)
		j.leave(l)
	}
	if !empty {
		if err := j.begin(l); err != nil {
			return err
		}
	}
	return j.checkpoint()
}
