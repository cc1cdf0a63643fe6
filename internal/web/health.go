package web

import (
	"net/http"

	"github.com/ocelli/ocelli"
)

// Check is one thing that the service needs, and how it does.
type Check struct {
	Name string
	OK   bool
	Says string // one sentence: how it does, or what is wrong and what to do
}

// healthView is the page of the health.
type healthView struct {
	ocelli.Status
	Checks []Check
	OK     bool // all of them
}

// fewJobs are too few to tell how good forecasts are.
const fewJobs = 5

// Forecasts says how well the times told for jobs came true, "" while there were too few.
func (v healthView) Forecasts() string {
	if v.ETA.Jobs < fewJobs {
		return ""
	}
	return percent(v.ETA.Within20) + " of the last " + several(v.ETA.Jobs, "job") + " took within 20 % of the time that was told"
}

func (s *web) health(w http.ResponseWriter, r *http.Request) {
	v := healthView{Status: s.Status(r.Context()), OK: true}
	if s.Checks != nil {
		v.Checks = s.Checks(r.Context())
	}
	for _, c := range v.Checks {
		v.OK = v.OK && c.OK
	}
	s.show(w, r, http.StatusOK, page{Name: "health", Title: "Health", Body: v, Refresh: &refresh{Seconds: 5, URL: "/health"}})
}
