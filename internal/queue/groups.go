package queue

import "sync"

// Lanes is in how many lines groups wait where a driver has no line for each: of more groups than this, some wait behind others. A group
// that comes is put where least waits.
const Lanes = 16

// Emptiest is the first lane in which least waits.
func Emptiest[N int | int64](waiting []N) int {
	least := 0
	for lane, n := range waiting {
		if n < waiting[least] {
			least = lane
		}
	}
	return least
}

// mostGroups bounds the memory of Groups.
const mostGroups = 10_000

// Groups remembers something of each group that was used of late. One that was not while mostGroups others were is forgotten. The zero
// value is ready to use. Its method may be called from any number of goroutines.
type Groups[T any] struct {
	mu           sync.Mutex
	young, older map[string]T // when the younger is full it becomes the older one
}

// Change replaces what is remembered of a group, the zero value at first, by what change makes of it, and returns that. change runs under a
// lock, so it is never called twice at a time.
func (g *Groups[T]) Change(name string, change func(T) T) T {
	g.mu.Lock()
	defer g.mu.Unlock()
	old, ok := g.young[name]
	if !ok {
		old = g.older[name]
		if g.young == nil || len(g.young) >= mostGroups/2 {
			g.young, g.older = make(map[string]T), g.young
		}
	}
	now := change(old)
	g.young[name] = now
	return now
}
