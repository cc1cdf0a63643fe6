package access

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxied sees through the reverse proxies that are trusted: it puts the address of the client, as they report it in X-Forwarded-For, in place of
// theirs. Requests through a Unix socket are from a proxy that its permissions let in. What others claim in such a header is left
// unread, since anybody can write it.
func Proxied(trusted []netip.Prefix, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && !covers(trusted, peer.Addr()) {
			next.ServeHTTP(w, r)
			return
		}
		if client, ok := forwardedFor(r, trusted); ok {
			seen := *r // a handler must not change its request
			seen.RemoteAddr = netip.AddrPortFrom(client, 0).String()
			r = &seen
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedFor returns the last address on the way that is not a trusted proxy's own: what stands before it the client may have made
// up.
func forwardedFor(r *http.Request, trusted []netip.Prefix) (netip.Addr, bool) {
	way := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	var last netip.Addr
	for _, hop := range slices.Backward(way) {
		addr, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(hop), "[]"))
		if err != nil {
			break
		}
		if last = addr.Unmap(); !covers(trusted, last) {
			break
		}
	}
	return last, last.IsValid()
}

func covers(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}
