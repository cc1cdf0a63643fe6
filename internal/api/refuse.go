package api

import (
	"net/http"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
)

// Fail answers a program's request with err, as every address under /v1 does. It is for whoever stands before the API.
func (a *API) Fail(w http.ResponseWriter, r *http.Request, err error) { a.fail(w, r, err) }

// limitWait is how long a client waits that has met a limit of its key; ok is false for errors of other kinds.
func limitWait(code ocelli.Code, now time.Time) (wait time.Duration, ok bool) {
	switch code {
	case ocelli.RateLimited:
		return time.Second, true
	case ocelli.QuotaUsed:
		return access.UntilNextDay(now), true
	}
	return 0, false
}
