package access

import (
	"net/http"
	"net/url"
	"strings"
)

// WantsPage reports whether a request comes from a browser that will show the answer to a person.
func WantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/v1/")
}

// SignInAddress is the address of the sign-in page that leads on to a page of this node.
func SignInAddress(next string) string {
	if next = NextPage(next); next == "/" {
		return "/sign-in"
	}
	return "/sign-in?next=" + url.QueryEscape(next)
}

// NextPage returns the page of this node that next names, and the start page where it names one elsewhere: a link to the sign-in
// page must not lead people to another site.
func NextPage(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "/sign-") {
		return "/"
	}
	return next
}
