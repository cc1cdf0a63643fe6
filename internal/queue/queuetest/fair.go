package queuetest

import (
	"fmt"
	"testing"
)

// Fair holds a driver to taking turns between groups: five messages sent behind a thousand of another
// group are received within about sixty deliveries. A driver may put two groups together, so this is
// tried with several small groups, and one in four may be unlucky.
func Fair(t *testing.T, open Open) {
	q := open(t, long)
	const small, limit = 8, 60
	send(t, q, messages("large", "large-job", 1000)...)
	unlucky := 0
	for i := range small {
		group := fmt.Sprintf("small-job-%d", i)
		send(t, q, messages(group, group, 5)...)
		deliveries, found := 0, 0
		for round := 0; found < 5 && deliveries < limit; round++ {
			ds := receiveUpTo(t, q, 1+round%4)
			deliveries += len(ds)
			for _, d := range ds {
				if d.Group == group {
					found++
				}
			}
			ack(t, q, ds...)
		}
		t.Logf("%s: %d of 5 messages within %d deliveries", group, found, deliveries)
		if found < 5 {
			unlucky++
		}
	}
	if unlucky > small/4 {
		t.Errorf("%d of %d small groups waited behind the large one for over %d deliveries", unlucky, small, limit)
	}
}
