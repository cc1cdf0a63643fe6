package telemetry_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/telemetry"
)

var (
	metricName = regexp.MustCompile(`\b(?:ocelli|go|process)_[a-z_]+`)
	labelsOf   = regexp.MustCompile(`\b((?:ocelli)_[a-z_]+)\{([^}]*)\}`)
	grouping   = regexp.MustCompile(`by \(([a-z, ]+)\)`)
)

// Every query of the dashboard is about metrics and labels that there are, and each metric of ours is in a query.
func TestTheDashboardShowsTheMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("../../deploy/grafana/ocelli.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	m := telemetry.New(idle)
	m.Ended(ocelli.Result{Attempt: 1, Timings: ocelli.Timings{Queued: 1}})
	metrics := scrape(m)
	shown := map[string]bool{}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("%q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			names := metricName.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%q: no metric in %s", panel.Title, target.Expr)
			}
			for _, name := range names {
				shown[name] = true
				if !strings.Contains(metrics, "\n"+name+" ") && !strings.Contains(metrics, "\n"+name+"{") {
					t.Errorf("%q: there is no metric %s", panel.Title, name)
				}
			}
			for _, group := range grouping.FindAllStringSubmatch(target.Expr, -1) {
				for label := range strings.SplitSeq(group[1], ", ") {
					hasLabel(t, metrics, names[0], label)
				}
			}
			for _, use := range labelsOf.FindAllStringSubmatch(target.Expr, -1) {
				for matcher := range strings.SplitSeq(use[2], ",") {
					label := matcher[:strings.IndexAny(matcher, "=!")]
					if label != "job" { // which Prometheus adds
						hasLabel(t, metrics, use[1], label)
					}
				}
			}
		}
	}
	for line := range strings.Lines(metrics) {
		name, isType := strings.CutPrefix(line, "# TYPE ocelli_")
		if !isType {
			continue
		}
		name, kind, _ := strings.Cut("ocelli_"+strings.TrimSpace(name), " ")
		if kind == "histogram" {
			name += "_bucket"
		}
		if !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func hasLabel(t *testing.T, metrics, name, label string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^` + name + `\{[^}]*\b` + label + `="`).MatchString(metrics) {
		t.Errorf("%s has no label %s", name, label)
	}
}
