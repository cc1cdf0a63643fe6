package api

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
)

const (
	recentJobs     = 20  // what ?limit is where it is not given
	MostRecentJobs = 200 // what it may be
)

// getJobs lists the jobs that were accepted last, newest first. The id of a job is all that it takes to see it, so a stranger must not
// learn one here: without API keys the list is for people at the machine itself, and with them each caller's is its own.
func (a *API) getJobs(w http.ResponseWriter, r *http.Request) {
	if access.From(r.Context()) == nil && !AtThisMachine(r) {
		a.fail(w, r, ocelli.Errorf(ocelli.Forbidden, "jobs are listed only to callers on the service's own machine that reach it directly"))
		return
	}
	limit, err := limitOf(r, recentJobs, MostRecentJobs)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	jobs, err := a.Results.Recent(r.Context(), limit)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, jobList{jobs})
}

// limitOf returns how many things of a list the request asks for.
func limitOf(r *http.Request, otherwise, most int) (int, error) {
	if !r.URL.Query().Has("limit") {
		return otherwise, nil
	}
	text := r.URL.Query().Get("limit")
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > most {
		return 0, ocelli.Errorf(ocelli.BadRequest, "limit=%.40q is not possible: give 1 to %d", text, most)
	}
	return limit, nil
}

// AtThisMachine reports whether a request comes from a program on the machine of the service, as far as that can be told: from a loopback
// address to a loopback name, so that no page of the web can be behind it (https://en.wikipedia.org/wiki/DNS_rebinding), and with no sign of
// a proxy, which makes requests of the whole world come from this machine.
func AtThisMachine(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() || r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		return false // nginx speaks HTTP/1.0 to what is behind it, unless it is told otherwise
	}
	for _, sign := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if r.Header.Get(sign) != "" {
			return false
		}
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
