package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli/internal/scale"
)

// Settings are what can be changed while the service runs: how many workers it keeps. They hold until it ends, while this node leads.
type Settings struct {
	Leads   func() bool // whether it is this node that keeps the workers: what is changed in another has no effect
	Now     func() scale.Policy
	Start   scale.Policy                               // with which the service was started; more workers than its Max cannot be chosen
	Change  func(to scale.Policy, what string) error   // puts a policy in force; what is one sentence, for the journal
	Allowed func(*http.Request) (ok bool, hint string) // whether the visitor may change anything; where not, hint says who may
}

// mostHold bounds, in seconds, how long an idle worker is kept.
const mostHold = 24 * 3600

// settingsView is the page of the settings.
type settingsView struct {
	Policy  scale.Policy // as it is, or as the visitor wants it
	Start   scale.Policy
	Kept    bool // this node keeps workers, when it leads
	Leads   bool
	Allowed bool   // to change anything
	Hint    string // who may, where this visitor may not
	Wrong   string // what is wrong with what was entered
	Note    string
	Changes []string // that are to be confirmed, in sentences; none where nothing is
	Differs bool     // from how the service was started
	Flags   string   // that would make the policy last
	Earlier []entry
}

func (s *web) settings(w http.ResponseWriter, r *http.Request) {
	v := s.viewSettings(r)
	if r.URL.Query().Has("changed") {
		v.Note = "That is in force now, and written down below and on the fleet's page."
	}
	s.showSettings(w, r, http.StatusOK, v)
}

func (s *web) viewSettings(r *http.Request) settingsView {
	if s.Settings == nil || s.Settings() == nil {
		return settingsView{}
	}
	settings := s.Settings()
	v := settingsView{Policy: settings.Now(), Start: settings.Start, Kept: true, Leads: settings.Leads()}
	v.Allowed, v.Hint = settings.Allowed(r)
	v.Differs = len(changes(v.Start, v.Policy)) > 0
	v.Flags = flags(v.Policy)
	if s.Decisions != nil {
		decisions, err := s.Decisions(mostDecisions)
		if err != nil {
			s.Log.Warn("the settings' earlier changes could not be read", "error", err)
		}
		for _, e := range timeLine(decisions) {
			if e.Settings {
				v.Earlier = append(v.Earlier, e)
			}
		}
	}
	return v
}

func (s *web) showSettings(w http.ResponseWriter, r *http.Request, status int, v settingsView) {
	s.show(w, r, status, page{Name: "settings", Title: "Settings", Body: v})
}

// change takes the form of the settings. What would change is shown first, and done when the visitor has confirmed it.
func (s *web) change(w http.ResponseWriter, r *http.Request) {
	v := s.viewSettings(r)
	if !v.Allowed {
		v.Wrong = "Nothing was changed: you may look at the settings and not change them."
		s.showSettings(w, r, http.StatusForbidden, v)
		return
	}
	if !v.Leads {
		v.Wrong = "Nothing was changed: it would have no effect here."
		s.showSettings(w, r, http.StatusConflict, v)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	now := v.Policy
	wanted := v.Start
	var err error
	if r.PostFormValue("reset") == "" {
		wanted, err = readPolicy(now, v.Start, r.PostFormValue)
	}
	what := changes(now, wanted)
	v.Policy = wanted
	switch {
	case err != nil:
		v.Wrong = err.Error()
		s.showSettings(w, r, http.StatusUnprocessableEntity, v)
	case len(what) == 0:
		v.Note = "This is how it is already: nothing was changed."
		s.showSettings(w, r, http.StatusOK, v)
	case r.PostFormValue("confirmed") == "":
		v.Changes = what
		s.showSettings(w, r, http.StatusOK, v)
	default:
		if err := s.Settings().Change(wanted, strings.Join(what, "; ")); err != nil {
			s.fail(w, r, err)
			return
		}
		s.Log.Info("settings changed on the page", "what", what, "from", r.RemoteAddr)
		http.Redirect(w, r, "/settings?changed", http.StatusSeeOther)
	}
}

// readPolicy reads the fields of the form into a copy of the policy; what it is, and what it was at the start, can be chosen whatever it is.
// Everything that is wrong is told at once.
func readPolicy(p, start scale.Policy, field func(string) string) (scale.Policy, error) {
	var wrong []string // sentences
	number := func(name, words string, least, most int, into *int) {
		n, err := strconv.Atoi(strings.TrimSpace(field(name)))
		if err != nil || n < least || n > most {
			wrong = append(wrong, fmt.Sprintf("%s must be a whole number from %d to %d.", words, least, most))
			return
		}
		*into = n
	}
	number("max", "The most workers", 1, start.Max, &p.Max)
	number("min", "The fewest workers", 0, start.Max, &p.Min)
	number("images", "The pictures for each worker", 1, 1_000_000, &p.ImagesPerWorker)
	longest := max(mostHold, p.Hold, start.Hold)
	if hold, err := strconv.ParseFloat(strings.TrimSpace(field("hold")), 64); err == nil && hold >= 0 && hold <= longest {
		p.Hold = hold
	} else {
		wrong = append(wrong, fmt.Sprintf("The seconds must be a number from 0 to %g.", longest))
	}
	p.Name = field("policy")
	if p.Name != scale.Breakeven && p.Name != scale.Backlog {
		wrong = append(wrong, "Choose one of the two rules.")
	}
	if len(wrong) == 0 && p.Min > p.Max {
		wrong = append(wrong, "The fewest workers must not be more than the most.")
	}
	if len(wrong) == 0 {
		return p, nil
	}
	return p, errors.New(strings.Join(wrong, " "))
}

// changes says what makes one policy another, in parts of a sentence.
func changes(from, to scale.Policy) []string {
	var all []string
	add := func(changed bool, format string, args ...any) {
		if changed {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(from.Max != to.Max, "at most %s in place of %d", workers(to.Max), from.Max)
	add(from.Min != to.Min, "at least %s in place of %d, also when nothing waits", workers(to.Min), from.Min)
	add(from.Name != to.Name && to.Name == scale.Breakeven, "workers are started when the time they save is worth more than they cost, in place of by the number of pictures")
	add(from.Name != to.Name && to.Name == scale.Backlog, "workers are started by the number of pictures that wait, in place of by what their time saves")
	add(from.ImagesPerWorker != to.ImagesPerWorker, "one worker for each %s in place of %d, where that rule is chosen", pictures(to.ImagesPerWorker), from.ImagesPerWorker)
	add(from.Hold != to.Hold, "workers that are not needed end after %s in place of %s", span(to.Hold), span(from.Hold))
	return all
}

// span writes a number of seconds that somebody has entered, exactly.
func span(s float64) string { return time.Duration(s * float64(time.Second)).String() }

// flags are those of the command line that give the policy.
func flags(p scale.Policy) string {
	all := fmt.Sprintf("--max-workers=%d --min-workers=%d --worker-idle=%s", p.Max, p.Min, span(p.Hold))
	if p.Name == scale.Backlog {
		all += fmt.Sprintf(" --policy=%s --images-per-worker=%d", p.Name, p.ImagesPerWorker)
	}
	return all
}
