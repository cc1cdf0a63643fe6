package access

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/ocelli/ocelli"
)

// Hosts lets requests through that ask for this machine by a loopback name or by one of names. Any page of the web can make its
// visitor's browser send requests to 127.0.0.1 under a name of its own (DNS rebinding,
// https://en.wikipedia.org/wiki/DNS_rebinding), and would read the answers; the name gives it away. Requests without a name, as
// only programs send them, and those about health pass.
func Hosts(names []string, refuse func(http.ResponseWriter, *http.Request, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host)
		if host == "" || isLoopbackName(host) || slices.ContainsFunc(names, func(n string) bool { return hostOf(n) == host }) ||
			r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		refuse(w, r, ocelli.Errorf(ocelli.WrongHost, "this service is not known as %.100q: whoever runs it can start it with --host %.100s", host, host))
	})
}

// hostOf is the name in a Host header, in the one form in which names are compared.
func hostOf(hostPort string) string {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

func isLoopbackName(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// BeyondLoopback reports whether others than programs of this machine can reach a listener at the address.
func BeyondLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || !tcp.IP.IsLoopback()
}
