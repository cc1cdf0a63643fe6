package sqsqueue

import "sync"

const (
	// express is how many messages of a group go to the first queue. A job of this many images is among the first wherever it
	// comes, and large jobs send no more than this many in front of it.
	express = 16

	// mostGroups bounds the memory of groups: one that sent nothing while this many others did begins anew.
	mostGroups = 10_000
)

// groups counts what was sent of each group, by this process. Its two maps are a younger and an older half: when the younger is full
// it becomes the older one.
type groups struct {
	mu           sync.Mutex
	young, older map[string]int
}

func newGroups() *groups { return &groups{young: map[string]int{}} }

// ahead counts one more message of the group and reports whether it belongs to the first of it. Messages without a group are each
// one of their own.
func (g *groups) ahead(name string) bool {
	if name == "" {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n, ok := g.young[name]
	if !ok {
		if len(g.young) >= mostGroups/2 {
			g.young, g.older = map[string]int{}, g.young
		}
		n = g.older[name]
	}
	g.young[name] = n + 1
	return n < express
}
