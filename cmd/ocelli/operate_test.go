package main

import "testing"

func TestANodeTakesSettingsWhileItLeads(t *testing.T) {
	n := &node{}
	if n.settings() != nil {
		t.Error("a node that never keeps workers has settings of theirs")
	}
	n.keeper = &controller{hands: &hands{}}
	for _, leads := range []bool{false, true, false} {
		n.keeper.leads.Store(leads)
		if got := n.settings().Leads(); got != leads {
			t.Errorf("a node that leads, %v, takes settings: %v", leads, got)
		}
	}
}
