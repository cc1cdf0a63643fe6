package web

import (
	"net/http"
	"strings"

	"github.com/ocelli/ocelli/internal/access"
)

// Site is the handler of all pages.
type Site struct {
	http.Handler
	web *web
}

// Refuse answers a request that was turned away before it came to a page.
func (s Site) Refuse(w http.ResponseWriter, r *http.Request, err error) { s.web.fail(w, r, err) }

// signInBytes bounds the form of the sign-in page.
const signInBytes = 8 << 10

// signInBody is what the sign-in page shows.
type signInBody struct {
	Next    string // where to go on
	Problem string // what was wrong with the last attempt
}

// signInPage shows the form for a key. Where nobody has to sign in, or the visitor has, it leads on.
func (s *web) signInPage(w http.ResponseWriter, r *http.Request) {
	next := access.NextPage(r.URL.Query().Get("next"))
	if s.Guard == nil || s.Guard.SignedIn(r) {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	s.askForKey(w, r, http.StatusOK, signInBody{Next: next})
}

// signIn takes the form. The key travels in the body, so that it stands in no log.
func (s *web) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, signInBytes)
	if err := r.ParseForm(); err != nil {
		s.showError(w, r, http.StatusBadRequest, "The form could not be read: go back and send it again.")
		return
	}
	next := access.NextPage(r.PostForm.Get("next"))
	if s.Guard != nil && !s.Guard.SignIn(w, r, strings.TrimSpace(r.PostForm.Get("key"))) {
		s.askForKey(w, r, http.StatusUnauthorized, signInBody{Next: next,
			Problem: "This key is not valid. It may have been mistyped, revoked or have expired: ask whoever runs the service."})
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *web) askForKey(w http.ResponseWriter, r *http.Request, status int, body signInBody) {
	s.show(w, r, status, page{Name: "signin", Title: "Sign in", Private: true, Body: body})
}

func (s *web) signOut(w http.ResponseWriter, r *http.Request) {
	if s.Guard != nil {
		s.Guard.SignOut(w, r)
	}
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// visitorOf is what a page calls whoever has signed in, and "" where nobody had to.
func visitorOf(r *http.Request) string {
	c := access.From(r.Context())
	switch {
	case c == nil:
		return ""
	case c.Key.Label != "":
		return c.Key.Label
	}
	return c.Key.ID
}
