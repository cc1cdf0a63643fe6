package fetch

import (
	"net/netip"
	"testing"
)

func TestWhichAddressesArePublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true, "172.32.0.1": true, "100.128.0.1": true,
		"64:ff9b::a00:1": false, "64:ff9b:1::808:808": false, "::8.8.8.8": false, "2001:0:1::": false, "2001:db8::1": false, "fec0::1": false, "fc00::1": false,
		"::ffff:10.0.0.1": false, "192.0.0.192": false, "198.19.0.1": false, "203.0.113.9": false, "5f00::1": false, "100::1": false, "240.0.0.1": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %t, want %t", text, got, want)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestPermits(t *testing.T) {
	parse := func(text string) Policy {
		p, err := ParsePolicy(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		policy, host, addr string
		want               bool
	}{
		{"public", "x.org", "8.8.8.8:443", true},
		{"public", "x.org", "8.8.8.8:22", false},
		{"public", "x.org", "10.0.0.1:80", false},
		{"none", "x.org", "8.8.8.8:443", false},
		{"x.org", "x.org", "8.8.8.8:9000", true},
		{"x.org", "X.ORG.", "8.8.8.8:9000", true},
		{"x.org", "y.x.org", "8.8.8.8:443", false},
		{"*.x.org", "y.x.org", "8.8.8.8:443", true},
		{"*.x.org", "x.org", "8.8.8.8:443", false},
		{"*.x.org", "evilx.org", "8.8.8.8:443", false},
		{"x.org", "x.org", "10.0.0.1:443", false},
		{"x.org,10.0.0.0/8", "x.org", "10.0.0.1:443", true},
		{"10.0.0.0/8", "any", "10.9.9.9:9000", true},
		{"10.0.0.0/8", "any", "8.8.8.8:443", false},
		{"127.0.0.1", "any", "[::ffff:127.0.0.1]:80", true},
		{"fe80::/10", "any", "[fe80::1%eth0]:80", true},
		{"public", "any", "[fe80::1%eth0]:80", false},
	} {
		if got := parse(c.policy).permits(c.host, netip.MustParseAddrPort(c.addr)); got != c.want {
			t.Errorf("%s permits %s at %s: %t, want %t", c.policy, c.host, c.addr, got, c.want)
		}
	}
}
