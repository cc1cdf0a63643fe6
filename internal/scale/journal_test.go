package scale_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/scale"
)

func TestAJournalGivesBackTheNewestDecisionsAndStaysBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "decisions.ndjson")
	j := scale.OpenJournal(path)
	if ds, err := j.Since(time.Time{}, 10); err != nil || len(ds) != 0 {
		t.Fatalf("an empty journal gives %d decisions, %v", len(ds), err)
	}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	record := func(want int, reason string) {
		t.Helper()
		d := scale.Decision{Want: want, Reason: reason, Seen: scale.Seen{Now: began.Add(time.Duration(want) * time.Second)}}
		if err := j.Record(d); err != nil {
			t.Fatal(err)
		}
	}
	const n = 300
	for i := range n { // over two files' worth
		record(i, strings.Repeat("x", 64<<10))
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"want": 3, "rea` + "\n") // cut short by a crash
	_ = f.Close()
	record(n, "last")

	ds, err := scale.OpenJournal(path).Since(began.Add(100*time.Second), 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(ds) != 5 || ds[0].Want != n-4 || ds[4].Reason != "last" {
		t.Errorf("got %d decisions, the first wants %d", len(ds), ds[0].Want)
	}
	if ds, err = j.Since(began.Add(time.Hour), 5); err != nil || len(ds) != 0 {
		t.Errorf("of the future there are %d, %v", len(ds), err)
	}
	if ds, err = j.Latest(2); err != nil || len(ds) != 2 || ds[0].Want != n-1 || ds[1].Reason != "last" {
		t.Errorf("the latest are %d, %v", len(ds), err)
	}
	if ds, err = j.Latest(1000); err != nil || len(ds) < 3 || len(ds) > 20 {
		t.Errorf("quickly read are %d, %v", len(ds), err)
	}
	total := int64(0)
	for _, p := range []string{path, path + ".1"} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 17<<20 {
		t.Errorf("the journal takes %d bytes", total)
	}
}
