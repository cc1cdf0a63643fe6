package api

import (
	"net/http"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	decisionsSince = time.Hour // what ?since is where it is not given
	decisionsMost  = 1000      // of one answer
)

// getDecisions answers the scaling decisions of late, oldest first: each with what was seen, the reason, and what one worker more or less
// would have meant.
func (a *API) getDecisions(w http.ResponseWriter, r *http.Request) {
	since := decisionsSince
	most, err := limitOf(r, decisionsMost, decisionsMost)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if text := r.URL.Query().Get("since"); text != "" {
		if since, err = time.ParseDuration(text); err != nil || since < 0 {
			a.fail(w, r, ocelli.Errorf(ocelli.BadRequest, "since=%.40q is not a duration: write it like since=1h", text))
			return
		}
	}
	decisions := []scale.Decision{}
	if a.Decisions != nil { // this node keeps the workers
		if decisions, err = a.Decisions(time.Now().Add(-since), most); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	answer(w, http.StatusOK, decisionList{decisions})
}
