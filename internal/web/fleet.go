package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	mostDecisions = 200 // that are looked at
	mostEntries   = 14  // of the time line
)

// fleetView is the page of the fleet.
type fleetView struct {
	ocelli.Status
	Lines   []line
	Workers []worker
	Entries []entry
	Kept    bool // this node keeps the workers, so it knows decisions
}

// worker is one worker as the page shows it.
type worker struct {
	ocelli.Worker
	Does, Did string // in words
}

// entry is a decision of the time line.
type entry struct {
	At    time.Time
	Step  string // "2 → 5 workers"
	Way   string // "up", "down" or "", for its mark
	Deeds string // which workers were started and ended

	Settings bool // it is a change of settings
	Reason   string
}

// ETA is how long the backlog takes at the rate of now.
func (v fleetView) ETA() string {
	backlog := v.Ready + v.Leased
	switch {
	case backlog == 0:
		return "–"
	case v.Rate <= 0:
		return "…"
	}
	return lasting(float64(backlog) / v.Rate)
}

func (s *web) fleet(w http.ResponseWriter, r *http.Request) {
	now, status := time.Now(), s.Status(r.Context())
	s.History.note(now, status)
	v := fleetView{Status: status, Lines: s.History.lines(now, status)}
	for _, each := range status.Workers {
		v.Workers = append(v.Workers, worker{each, does(now, each), did(each)})
	}
	if s.Decisions != nil {
		decisions, err := s.Decisions(mostDecisions)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		v.Entries, v.Kept = timeLine(decisions), true
	}
	s.show(w, r, http.StatusOK, page{Name: "fleet", Title: "Fleet", Body: v, Refresh: &refresh{Seconds: 5, URL: "/fleet"}})
}

// does says what a worker is at.
func does(now time.Time, w ocelli.Worker) string {
	since := now.Sub(w.Since).Seconds()
	switch {
	case w.State == ocelli.WorkerBusy && w.Holding > 0:
		return pictures(w.Holding) + " in hand"
	case w.State == ocelli.WorkerDraining:
		return "finishes what it holds, and ends"
	case w.State != ocelli.WorkerBusy && !w.Since.IsZero() && since >= 1:
		return "for " + lasting(since)
	}
	return ""
}

// did says what a worker has done.
func did(w ocelli.Worker) string {
	var parts []string
	if w.Done > 0 {
		parts = append(parts, count(w.Done)+" done")
	}
	if w.Rate > 0 && w.State == ocelli.WorkerBusy {
		parts = append(parts, decimal(w.Rate)+" a second")
	}
	return strings.Join(parts, " · ")
}

// timeLine picks the decisions that changed something, the latest first.
func timeLine(decisions []scale.Decision) []entry {
	var all []entry
	want := -1
	for _, d := range decisions {
		acted := d.Done != nil && d.Done.Any()
		before := want
		want = d.Want
		if before == d.Want && !acted && d.Changed == "" {
			continue
		}
		e := entry{At: d.Seen.Now, Step: workers(d.Want), Reason: asSentence(d.Reason)}
		if d.Changed != "" {
			e.Settings, e.Step, e.Reason = true, "Settings changed", asSentence(d.Changed)
		} else if before >= 0 && before != d.Want {
			e.Step = fmt.Sprintf("%d → %s", before, workers(d.Want))
			e.Way = "up"
			if before > d.Want {
				e.Way = "down"
			}
		}
		if acted {
			e.Deeds = d.Done.String()
		}
		all = append(all, e)
	}
	latest := make([]entry, 0, mostEntries)
	for i := len(all) - 1; i >= 0 && len(latest) < mostEntries; i-- {
		latest = append(latest, all[i])
	}
	return latest
}

func workers(n int) string { return several(n, "worker") }

func pictures(n int) string { return several(n, "picture") }

func several(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(int64(n)) + " " + thing + "s"
}

// count writes how many there are, with a comma between thousands.
func count(n int64) string {
	digits := strconv.FormatInt(max(n, 0), 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// lasting writes a number of seconds for people.
func lasting(s float64) string {
	switch {
	case s < 10:
		return decimal(s) + " s"
	case s < 90:
		return fmt.Sprintf("%.0f s", s)
	case s < 90*60:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.0f h", s/3600)
}
