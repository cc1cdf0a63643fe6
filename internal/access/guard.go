package access

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// Guard stands before a node and lets nobody in without a key, save to what says whether the node is well and to the sign-in page.
// Refuse is set before first use.
type Guard struct {
	// Refuse answers a request that may not go on; err is an [ocelli.Error].
	Refuse func(w http.ResponseWriter, r *http.Request, err error)

	keys     *Keys
	sessions sessions
	limits   *limits
	blobs    blob.Store
	node     string
	log      *slog.Logger
}

// NewGuard returns a guard that knows the keys. It counts what they use in blobs, together with other nodes; node is the name of
// this one, of letters and digits.
func NewGuard(keys *Keys, blobs blob.Store, node string, log *slog.Logger) *Guard {
	return &Guard{keys: keys, sessions: sessions{keys: keys, ended: map[string]time.Time{}}, limits: newLimits(), blobs: blobs, node: node, log: log}
}

// Run exchanges what keys have used with the store until ctx ends, and a last time then.
func (g *Guard) Run(ctx context.Context) error {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	swept := ""
	for {
		if err := g.limits.exchange(ctx, g.blobs, g.node, time.Now()); err != nil && ctx.Err() == nil {
			g.log.Warn("limits of API keys count this node only for a while", "error", err)
		}
		if day := dayOf(time.Now()); day != swept {
			swept = day
			if err := forget(ctx, g.blobs, time.Now()); err != nil && ctx.Err() == nil {
				g.log.Warn("old counts of API keys stay for a day", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastUsageTime)
			defer cancel()
			if err := g.limits.write(last, g.blobs, g.node, time.Now()); err != nil {
				g.log.Warn("what API keys have used in the last seconds is not kept", "error", err)
			}
			return nil
		case <-tick.C:
		}
	}
}

// Handler lets requests through to next whose caller may make them, with the [Caller] in their context.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open(r) || Signed(r) {
			next.ServeHTTP(w, r)
			return
		}
		now := time.Now()
		scope := Submit
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions {
			scope = Read
		}
		ctx, err := g.admit(r.Context(), g.key(r, now), scope, now)
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Signed reports whether a request is one of an AWS client, which the guard lets pass: its signature covers the body, so only what reads
// the body can verify it, and has to, with [Guard.SigningSecret] and then [Guard.Admit].
func Signed(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Path == "/" && r.Header.Get("X-Amz-Target") != ""
}

// SigningSecret returns the secret access key that belongs to an access key id.
func (g *Guard) SigningSecret(id string) (secret string, known bool) { return g.keys.SigningSecret(id) }

// Admit returns the context of a request that was signed with the key of the access key id, to send images, or an [ocelli.Error].
func (g *Guard) Admit(ctx context.Context, id string) (context.Context, error) {
	now := time.Now()
	return g.admit(ctx, g.keys.ByID(id, now), Submit, now)
}

// admit holds a request against what its key may do.
func (g *Guard) admit(ctx context.Context, key *Key, scope Scope, now time.Time) (context.Context, error) {
	if key == nil {
		return nil, errNoKey()
	}
	caller := &Caller{
		Key:    key,
		spend:  func(n int64) error { return g.limits.spend(key, n, time.Now()) },
		refund: func(n int64, since time.Time) { g.limits.refund(key, n, since, time.Now()) },
	}
	switch {
	case caller.May(scope):
		return With(ctx, caller), g.limits.request(key, now)
	case scope == Read:
		return nil, ocelli.Errorf(ocelli.Forbidden, "this key may not look at anything: use one with the scope read")
	}
	return nil, ocelli.Errorf(ocelli.Forbidden, "this key may only look: use one with the scope submit")
}

// open reports whether a request needs no key: for the health of the node, and for signing in.
func open(r *http.Request) bool {
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch path := r.URL.Path; {
	case path == "/healthz", path == "/readyz", path == "/v2/health/live", path == "/v2/health/ready", path == "/favicon.ico", strings.HasPrefix(path, "/assets/"):
		return get
	case path == "/sign-in", path == "/sign-out":
		return get || r.Method == http.MethodPost
	}
	return false
}

// key returns the key of a request, and nil where it has none that is valid. A request that shows a key is judged by it, whatever
// session it has besides.
func (g *Guard) key(r *http.Request, now time.Time) *Key {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		return g.keys.Find(strings.TrimSpace(rest), now)
	case "basic": // for old clients that take a password in the address: http://any:KEY@host/
		_, password, _ := r.BasicAuth()
		return g.keys.Find(password, now)
	}
	if text := r.Header.Get("X-Api-Key"); text != "" {
		return g.keys.Find(text, now)
	}
	return g.sessions.find(r, now)
}

// refuse answers a request that may not go on. A browser that asks for a page is led to the sign-in page.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := ocelli.AsError(err)
	if e != nil && e.Code == ocelli.Unauthorized {
		if r.Method == http.MethodGet && WantsPage(r) {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, SignInAddress(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="Ocelli"`)
	}
	g.Refuse(w, r, err)
}

// SignIn begins a session with the key that the text is, and reports whether there is such a key.
func (g *Guard) SignIn(w http.ResponseWriter, r *http.Request, text string) bool {
	now := time.Now()
	key := g.keys.Find(strings.TrimSpace(text), now)
	if key == nil {
		return false
	}
	g.sessions.begin(w, r, key, now)
	return true
}

// SignedIn reports whether the request comes with a session.
func (g *Guard) SignedIn(r *http.Request) bool { return g.sessions.find(r, time.Now()) != nil }

// SignOut ends the session of the request.
func (g *Guard) SignOut(w http.ResponseWriter, r *http.Request) { g.sessions.finish(w, r, time.Now()) }
