package web

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"

	"github.com/ocelli/ocelli"
)

// policy is the Content-Security-Policy of every page: nothing from elsewhere, and no script or style inside the page, so that a
// hostile name which got past the templates could still not run. Pictures from blob: addresses are those a visitor has just chosen.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// page is what a template is given.
type page struct {
	Name    string   // of the template
	Title   string   // "" for the service's own
	Private bool     // known only to those who were given its address: not for search engines
	Refresh *refresh // nil where the page is final; for browsers without JavaScript
	Version string
	Visitor string // who has signed in, "" where nobody has to
	Body    any
}

type refresh struct {
	Seconds int
	URL     string
}

// pages are the parsed templates by name.
type pages map[string]*template.Template

func loadPages(a *assets) pages {
	all := pages{}
	for _, name := range []string{"workbench", "fleet", "model", "settings", "health", "docs", "error", "signin"} {
		t := template.New("layout.html").Funcs(template.FuncMap{"asset": a.url, "percent": percent, "decimal": decimal, "count": count, "lasting": lasting, "sentence": asSentence, "odd": func(i int) bool { return i%2 == 1 }})
		all[name] = template.Must(t.ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/"+name+".html"))
	}
	return all
}

// show answers a page.
func (s *web) show(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Version, p.Visitor = ocelli.Version(), visitorOf(r)
	var body bytes.Buffer
	if err := s.pages[p.Name].Execute(&body, p); err != nil {
		s.Log.Error("page could not be made", "page", p.Name, "path", r.URL.Path, "error", err)
		http.Error(w, "This page could not be made: tell whoever runs the service to look into its log.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	writeBody(w, r, status, body.Bytes(), compress(body.Bytes()))
}

// fail answers the page of an error. What is not an [ocelli.Error] is the service's own fault: it is logged, and its text is not shown.
func (s *web) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, sentence, ok := s.explain(r, err)
	if !ok {
		return
	}
	s.showError(w, r, status, sentence)
}

// explain returns what an error is answered with; ok is false where the client has gone.
func (s *web) explain(r *http.Request, err error) (status int, sentence string, ok bool) {
	if e := ocelli.AsError(err); e != nil {
		return e.Code.HTTPStatus(), e.Message, true
	}
	if r.Context().Err() != nil {
		return 0, "", false
	}
	s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return http.StatusServiceUnavailable, "the service could not do this just now: try again, and look into its log if that does not help", true
}

// errorBody is what the error page shows.
type errorBody struct {
	Status   int
	Heading  string
	Sentence string
}

func (s *web) showError(w http.ResponseWriter, r *http.Request, status int, sentence string) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	heading := headingOf(status)
	s.show(w, r, status, page{Name: "error", Title: heading, Private: true, Body: errorBody{status, heading, asSentence(sentence)}})
}

func headingOf(status int) string {
	switch status {
	case http.StatusForbidden:
		return "Not with this key"
	case http.StatusMisdirectedRequest:
		return "Wrong address"
	case http.StatusNotFound:
		return "Nothing to see here"
	case http.StatusRequestEntityTooLarge:
		return "That is too much at once"
	case http.StatusTooManyRequests:
		return "All eyes are busy"
	case http.StatusInsufficientStorage:
		return "No room left"
	case http.StatusBadRequest:
		return "No pictures arrived"
	}
	if status >= 500 {
		return "We could not see that"
	}
	return "That did not work"
}

// percent writes a probability for people.
func percent(score float64) string {
	if p := 100 * score; p > 0 && p < 9.95 {
		return fmt.Sprintf("%.1f %%", p)
	}
	return fmt.Sprintf("%.0f %%", 100*score)
}

func decimal(x float64) string { return fmt.Sprintf("%.1f", x) }
