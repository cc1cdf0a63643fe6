// Package fetch asks addresses that strangers chose, for images and to tell of ended jobs, and cannot be made to ask where
// strangers themselves have no way: the machine itself, its network, the metadata service of its cloud
// (https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html).
package fetch

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli"
)

// Policy says which hosts may be asked. The zero Policy is: none.
type Policy struct {
	public bool           // every host with a public address
	names  []string       // hosts with a public address, by name; with a dot in front all names below
	nets   []netip.Prefix // every address in them, also where it is not public
}

// ParsePolicy reads "none", or any of these, separated by commas: "public" for all public hosts, "images.example.com" and
// "*.example.com" for hosts by name, and "10.1.0.0/16" for addresses, which need not be public.
func ParsePolicy(text string) (Policy, error) {
	var p Policy
	if text == "none" {
		return p, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if part == "public" {
			p.public = true
			continue
		}
		if prefix, err := netip.ParsePrefix(part); err == nil {
			p.nets = append(p.nets, prefix.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(part); err == nil && addr.Zone() == "" {
			p.nets = append(p.nets, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		name := strings.TrimPrefix(part, "*")
		if u, err := url.Parse("//" + strings.TrimPrefix(name, ".")); err != nil || u.Host == "" || name == "none" || u.Hostname() != strings.TrimPrefix(name, ".") ||
			strings.ContainsAny(name, "*/@ ") || (name != part) != strings.HasPrefix(name, ".") {
			return Policy{}, fmt.Errorf("%q is no host: give none, public, a name like images.example.com or *.example.com, or addresses like 10.1.0.0/16", part)
		}
		p.names = append(p.names, name)
	}
	return p, nil
}

// None reports whether nothing may be asked.
func (p Policy) None() bool { return !p.public && len(p.names) == 0 && len(p.nets) == 0 }

// webPorts are those on which a public host is asked. Others belong to services that were never meant to be reached from a page.
var webPorts = []uint16{80, 443, 8080, 8443}

// permits decides about one connection: the name that was asked for and the address that it turned out to have.
func (p Policy) permits(host string, addr netip.AddrPort) bool {
	ip := addr.Addr().WithZone("").Unmap()
	if slices.ContainsFunc(p.nets, func(n netip.Prefix) bool { return n.Contains(ip) }) {
		return true
	}
	return isPublic(ip) && (p.named(host) || p.public && slices.Contains(webPorts, addr.Port()))
}

func (p Policy) named(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(p.names, func(name string) bool {
		return host == name || strings.HasPrefix(name, ".") && strings.HasSuffix(host, name)
	})
}

// Check reads a URL and refuses what can be refused before its host is looked up, with an [ocelli.Error] in a sentence that lacks its
// subject. The URL itself is not part of it: it may hold a signature.
func (p Policy) Check(text string) (*url.URL, error) {
	const most = 8 << 10
	u, err := url.Parse(text)
	switch {
	case p.None():
		return nil, ocelli.Errorf(ocelli.FetchRefused, "cannot be had: this service asks no other servers (its operator can allow some)")
	case len(text) > most:
		return nil, ocelli.Errorf(ocelli.BadRequest, "has an address of %d bytes: %d are the limit", len(text), most)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, ocelli.Errorf(ocelli.BadRequest, "has no address that can be asked: it must begin with http:// or https:// and name a host")
	case u.User != nil:
		return nil, ocelli.Errorf(ocelli.BadRequest, "has a password in its address: give one that needs none, or that is signed")
	case p.excludes(u):
		return nil, refused(u.Hostname())
	}
	return u, nil
}

// excludes reports whether the host of a URL is one that cannot be permitted whatever its name stands for.
func (p Policy) excludes(u *url.URL) bool {
	port, err := strconv.ParseUint(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]), 10, 16)
	if err != nil {
		return true
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return !p.permits(u.Hostname(), netip.AddrPortFrom(addr, uint16(port)))
	}
	return len(p.nets) == 0 && !p.named(u.Hostname()) && !(p.public && slices.Contains(webPorts, uint16(port)))
}

// refused is the error of a host that may not be asked.
func refused(host string) *ocelli.Error {
	return ocelli.Errorf(ocelli.FetchRefused, "comes from %.100s, where this service does not ask: its operator decides about that", host)
}
