package scale_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/scale"
)

// decided is a decision at a time, which changed something.
func decided(at time.Time, want int) scale.Decision {
	return scale.Decision{
		Want: want, Reason: strings.Repeat("because ", 10), Seen: scale.Seen{Now: at},
		Done: &fleet.Change{Launched: []string{fmt.Sprint("worker-", want)}},
	}
}

func TestAStoreJournalIsReadByOthers(t *testing.T) {
	store := new(blob.Mem)
	now := time.Now()
	first, second := scale.NewStoreJournal(store), scale.NewStoreJournal(store)
	const n = 40
	for i := range n { // over several hours, by two controllers in turn
		j := first
		if i >= n/2 {
			j = second
		}
		if err := j.Record(decided(now.Add(time.Duration(i-n)*15*time.Minute), i)); err != nil {
			t.Fatal(err)
		}
	}
	reader := scale.NewStoreJournal(store)
	for _, c := range []struct {
		since       time.Time
		most        int
		first, last int
	}{
		{now.Add(-time.Hour * 24 * 400), 1000, 0, n - 1},
		{now.Add(-time.Hour * 24), 5, n - 5, n - 1},
		{now.Add(-time.Hour - time.Minute), 1000, n - 4, n - 1},
	} {
		ds, err := reader.Since(c.since, c.most)
		if err != nil {
			t.Fatal(err)
		}
		if len(ds) != c.last-c.first+1 || ds[0].Want != c.first || ds[len(ds)-1].Want != c.last {
			t.Errorf("since %v, at most %d: %d decisions, from %+v", c.since, c.most, len(ds), ds)
		}
	}
	if ds, err := reader.Latest(3); err != nil || len(ds) != 3 || ds[2].Want != n-1 {
		t.Errorf("the latest are %+v, %v", ds, err)
	}
	if ds, err := reader.Since(now.Add(time.Hour), 10); err != nil || len(ds) != 0 {
		t.Errorf("of the future: %d decisions, %v", len(ds), err)
	}
}

func TestAStoreJournalWritesLittleWhileNothingChanges(t *testing.T) {
	store := new(blob.Mem)
	j := scale.NewStoreJournal(store)
	at := time.Now()
	for i := range 100 {
		d := decided(at, i)
		if i > 0 {
			d.Done = nil
		}
		if err := j.Record(d); err != nil {
			t.Fatal(err)
		}
	}
	if ds, err := j.Since(at.Add(-time.Hour), 1000); err != nil || len(ds) != 1 {
		t.Errorf("%d decisions are stored, %v; want the one that changed workers, and the rest later", len(ds), err)
	}
	if err := j.Record(decided(at, 100)); err != nil {
		t.Fatal(err)
	}
	if ds, err := j.Since(at.Add(-time.Hour), 1000); err != nil || len(ds) != 101 {
		t.Errorf("%d decisions are stored, %v; want all 101", len(ds), err)
	}
}
