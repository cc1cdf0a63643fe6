package durable

import (
	"hash/fnv"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// stripes is the number of locks that all names share. It is the same for all versions that use a tree at a time.
const stripes = 1 << 12

// nameLocks let one writer at a time change a name, of all goroutines and processes: so the order of the records in the journal
// is the order in which files got their names.
type nameLocks struct {
	file   *os.File // a range of one byte is locked for each stripe, which ends with the process
	stripe [stripes]sync.Mutex
}

// lock locks the names, which need not differ.
func (l *nameLocks) lock(names ...string) (unlock func(), err error) {
	held := make([]int, 0, len(names))
	for _, name := range names {
		h := fnv.New32a()
		h.Write([]byte(name))
		held = append(held, int(h.Sum32()%stripes))
	}
	// In order, so that two that need the same ones never wait for each other.
	slices.Sort(held)
	held = slices.Compact(held)
	for i, s := range held {
		l.stripe[s].Lock()
		if err := lockRange(l.file, int64(s)); err != nil {
			l.stripe[s].Unlock()
			l.unlock(held[:i])
			return nil, err
		}
	}
	return func() { l.unlock(held) }, nil
}

// lockAll locks all names there are, or gives up where that takes too long: somebody may have been stopped who holds one, and all that are locked until
// then are waited for.
func (l *nameLocks) lockAll() (unlock func(), err error) {
	held := make([]int, 0, stripes)
	for s := range stripes {
		if err := patiently(func() error { return l.tryLock(s) }); err != nil {
			l.unlock(held)
			return nil, err
		}
		held = append(held, s)
	}
	return func() { l.unlock(held) }, nil
}

// tryLock ends in EWOULDBLOCK where somebody has the lock.
func (l *nameLocks) tryLock(s int) error {
	if !l.stripe[s].TryLock() {
		return unix.EWOULDBLOCK
	}
	err := tryLockRange(l.file, int64(s))
	if err != nil {
		l.stripe[s].Unlock()
	}
	return err
}

func (l *nameLocks) unlock(held []int) {
	for _, s := range held {
		_ = unlockRange(l.file, int64(s)) // a range that is locked can be unlocked
		l.stripe[s].Unlock()
	}
}
