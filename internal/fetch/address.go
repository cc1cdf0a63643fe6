package fetch

import (
	"net/netip"
	"slices"
)

// special are the addresses that are no public host, of IPv4 and of the part of IPv6 that is handed out at all
// (https://www.iana.org/assignments/iana-ipv4-special-registry, https://www.iana.org/assignments/iana-ipv6-special-registry).
var special = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // shared by providers; metadata of one cloud
	"127.0.0.0/8",      // this machine
	"168.63.129.16/32", // the host of a virtual machine of one cloud
	"169.254.0.0/16",   // link-local; metadata of most clouds
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // protocols; metadata of one cloud
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // relays of 6to4
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // measurements
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // reserved, broadcast

	"2001::/23",     // protocols, Teredo
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4: any IPv4 address inside
	"3fff::/20",     // documentation
)

var (
	global = netip.MustParsePrefix("2000::/3")     // what is handed out of IPv6
	nat64  = netip.MustParsePrefix("64:ff9b::/96") // an IPv4 address inside, RFC 6052
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// isPublic reports whether an address without zone is that of a host on the internet.
func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	if nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !ip.IsValid() || ip.Is6() && !global.Contains(ip) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}
