package api

import (
	"net/http"
	"strconv"
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
	since, most := decisionsSince, decisionsMost
	var err error
	if text := r.URL.Query().Get("since"); text != "" {
		if since, err = time.ParseDuration(text); err != nil || since < 0 {
			a.fail(w, r, ocelli.Errorf(ocelli.BadRequest, "since=%.40q is not a duration: write it like since=1h", text))
			return
		}
	}
	if text := r.URL.Query().Get("limit"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > decisionsMost {
			a.fail(w, r, ocelli.Errorf(ocelli.BadRequest, "limit=%.40q is not possible: give 1 to %d", text, decisionsMost))
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
