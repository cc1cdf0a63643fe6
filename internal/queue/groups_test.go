package queue

import (
	"fmt"
	"testing"
)

func TestGroupsForgetsTheQuiet(t *testing.T) {
	var g Groups[int]
	more := func(n int) int { return n + 1 }
	for i := range 3 * mostGroups {
		g.Change(fmt.Sprint("group-", i), more)
		if i%1000 == 0 {
			if n := g.Change("steady", more); n != i/1000+1 {
				t.Fatalf("a group that goes on was forgotten after %d others: it has %d", i, n)
			}
		}
	}
	if n := len(g.young) + len(g.older); n > mostGroups {
		t.Errorf("%d groups are remembered, and %d are the most", n, mostGroups)
	}
	if n := g.Change("group-0", more); n != 1 {
		t.Errorf("a group of long ago has %d, want 1 for anew", n)
	}
}

func TestEmptiest(t *testing.T) {
	for _, c := range []struct {
		waiting []int
		want    int
	}{{[]int{0, 0}, 0}, {[]int{2, 1, 3, 1}, 1}, {[]int{3, 2, 0}, 2}} {
		if got := Emptiest(c.waiting); got != c.want {
			t.Errorf("Emptiest(%v) = %d, want %d", c.waiting, got, c.want)
		}
	}
}
