package access_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/ocelli/ocelli/internal/access"
)

func TestTheClientBehindTrustedProxies(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.9:4711", nil, "203.0.113.9:4711"},
		{"a stranger who claims to be a proxy", "203.0.113.9:4711", []string{"198.51.100.1"}, "203.0.113.9:4711"},
		{"one proxy", "127.0.0.1:4711", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"through a Unix socket", "@", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"through a Unix socket without a word of the client", "@", nil, "@"},
		{"two proxies", "127.0.0.1:4711", []string{"198.51.100.1, 10.1.2.3"}, "198.51.100.1:0"},
		{"two headers", "127.0.0.1:4711", []string{"198.51.100.1", "10.1.2.3"}, "198.51.100.1:0"},
		{"a client that made up a way", "127.0.0.1:4711", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1:0"},
		{"a client that made up nonsense", "127.0.0.1:4711", []string{"<script>, 198.51.100.1"}, "198.51.100.1:0"},
		{"nonsense alone", "127.0.0.1:4711", []string{"unknown"}, "127.0.0.1:4711"},
		{"IPv6", "[fd00::1]:4711", []string{"2001:db8::1"}, "[2001:db8::1]:0"},
		{"a client among the proxies", "127.0.0.1:4711", []string{"10.1.2.3"}, "10.1.2.3:0"},
	} {
		var got string
		h := access.Proxied(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want || r.RemoteAddr != c.peer {
			t.Errorf("%s: the handler saw %s, want %s; the request itself has %s", c.name, got, c.want, r.RemoteAddr)
		}
	}
}
