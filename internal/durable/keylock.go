package durable

import (
	"hash/fnv"
	"os"
	"slices"
	"sync"
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
		if err := lockRange(l.file, int64(s), true); err != nil {
			l.stripe[s].Unlock()
			l.unlock(held[:i])
			return nil, err
		}
	}
	return func() { l.unlock(held) }, nil
}

func (l *nameLocks) unlock(held []int) {
	for _, s := range held {
		_ = lockRange(l.file, int64(s), false) // a range that is locked can be unlocked
		l.stripe[s].Unlock()
	}
}
