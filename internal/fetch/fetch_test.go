package fetch_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fetch"
)

func policy(t *testing.T, text string) fetch.Policy {
	t.Helper()
	p, err := fetch.ParsePolicy(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// names is a resolver whose every name has the address that answer returns for it; the zero address is: no such name.
func names(t *testing.T, answer func(name string) netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(dnsReply(query[:n], answer), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsReply answers a query for one name (RFC 1035, section 4).
func dnsReply(query []byte, answer func(string) netip.Addr) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, string(query[at+1:at+1+n]))
		at += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	addr := answer(strings.Join(labels, "."))
	reply := append([]byte{}, query[:at+5]...)
	reply[2], reply[3] = 0x81, 0x80 // an answer, recursion available
	copy(reply[4:12], []byte{0, 1, 0, 0, 0, 0, 0, 0})
	switch {
	case !addr.IsValid():
		reply[3] |= 3 // no such name
	case kind == 1 && addr.Is4() || kind == 28 && addr.Is6():
		reply[7] = 1
		reply = append(reply, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(addr.BitLen()/8))
		reply = append(reply, addr.AsSlice()...)
	}
	return reply
}

// get fetches URLs and returns what came of each, or the code of what was wrong.
func get(t *testing.T, g *fetch.Getter, urls ...string) (got []string) {
	t.Helper()
	readers, done := g.Open(t.Context(), urls)
	defer done()
	for _, r := range readers {
		data, err := io.ReadAll(r)
		switch e := ocelli.AsError(err); {
		case e != nil:
			got = append(got, string(e.Code))
		case err != nil:
			got = append(got, err.Error())
		default:
			got = append(got, string(data))
		}
	}
	return got
}

func TestOnlyPublicHostsAreAsked(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	inside := []string{"127.0.0.1", "10.1.2.3", "169.254.169.254", "fe80::1", "fd00:ec2::254", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "0.0.0.0", "100.100.100.200"}
	resolver := names(t, func(name string) netip.Addr {
		n := -1
		if _, err := fmt.Sscanf(name, "inside-%d.example", &n); err == nil {
			return netip.MustParseAddr(inside[n])
		}
		switch name {
		case "inside.example":
			return netip.MustParseAddr("127.0.0.1")
		case "mapped.example":
			return netip.MustParseAddr("::ffff:127.0.0.1")
		case "six.example":
			return netip.MustParseAddr("::1")
		}
		return netip.Addr{}
	})
	g := fetch.New(policy(t, "public,*.example"), resolver)
	var named []string // which only turns out to be inside when it is looked up
	for i := range inside {
		named = append(named, fmt.Sprintf("inside-%d.example", i))
	}
	for _, host := range append(named,
		"127.0.0.1", "127.1.2.3", "localhost", "inside.example", "six.example", "mapped.example", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "[::]",
		"10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16", "224.0.0.1",
		"[ff02::1]", "255.255.255.255", "[2002:7f00:1::]", "[::127.0.0.1]", "192.0.2.1",
	) {
		for _, url := range []string{"http://" + host + ":" + port + "/x.jpg", "https://" + host + "/x.jpg"} {
			if got := get(t, g, url); got[0] != string(ocelli.FetchRefused) {
				t.Errorf("%s: %s", url, got)
			}
		}
	}
	for url, want := range map[string]ocelli.Code{
		"http://2130706433/": ocelli.FetchFailed, "http://0x7f.1/": ocelli.FetchFailed, "http://nowhere.example/": ocelli.FetchFailed,
		"ftp://host/x": ocelli.BadRequest, "file:///etc/passwd": ocelli.BadRequest, "gopher://127.0.0.1/": ocelli.BadRequest, "//host/x": ocelli.BadRequest,
		"http://": ocelli.BadRequest, "": ocelli.BadRequest, "http://user:secret@host/": ocelli.BadRequest, "http://a b/": ocelli.BadRequest,
		"http://host/" + strings.Repeat("x", 9000): ocelli.BadRequest,
	} {
		if got := get(t, g, url); got[0] != string(want) {
			t.Errorf("%.60s: %s, want %s", url, got, want)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server inside was asked %d times", n)
	}
}

// The name has an allowed address when it is looked up first, and another one later.
func TestANameThatChangesItsAddressLeadsNowhere(t *testing.T) {
	served := func(text string, address string) (*httptest.Server, string) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close") // so that the next one is looked up again
			_, _ = io.WriteString(w, text)
		}))
		s.Listener.Close()
		s.Listener = l
		s.Start()
		t.Cleanup(s.Close)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return s, port
	}
	_, port := served("public", "127.0.0.1:0")
	served("secret", "127.0.0.2:"+port)
	var lookups atomic.Int32
	g := fetch.New(policy(t, "127.0.0.1"), names(t, func(string) netip.Addr {
		if lookups.Add(1) <= 2 { // one each for IPv4 and IPv6
			return netip.MustParseAddr("127.0.0.1")
		}
		return netip.MustParseAddr("127.0.0.2")
	}))
	url := "http://rebound.example:" + port + "/"
	if got := get(t, g, url); got[0] != "public" {
		t.Fatalf("at first: %s", got)
	}
	if got := get(t, g, url); got[0] != string(ocelli.FetchRefused) {
		t.Errorf("then: %s", got)
	}
	if lookups.Load() < 3 {
		t.Errorf("it was looked up %d times only", lookups.Load())
	}
}

func TestRedirectsAreCheckedAndCounted(t *testing.T) {
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	inside.Listener.Close()
	var err error
	if inside.Listener, err = net.Listen("tcp", "127.0.0.2:0"); err != nil {
		t.Fatal(err)
	}
	inside.Start()
	defer inside.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asked with %v", r.Header)
		}
		n := 0
		switch path := r.URL.Path; {
		case path == "/inside":
			http.Redirect(w, r, inside.URL, http.StatusFound)
		case path == "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case path == "/0":
			_, _ = io.WriteString(w, "arrived")
		default:
			_, _ = fmt.Sscanf(path, "/%d", &n)
			http.Redirect(w, r, fmt.Sprintf("/%d?signature=x", n-1), http.StatusFound)
		}
	}))
	defer server.Close()
	g := fetch.New(policy(t, "127.0.0.1"), nil)
	got := get(t, g, server.URL+"/inside", server.URL+"/file", server.URL+"/5", server.URL+"/6")
	if want := "[fetch_refused bad_request arrived fetch_failed]"; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFilesComeInOrderAFewAtATime(t *testing.T) {
	var now, most atomic.Int32
	large := bytes.Repeat([]byte("0123456789"), 200_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(large)
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "half")
		case "/gone":
			http.NotFound(w, r)
		default:
			_, _ = io.WriteString(w, r.URL.Path)
		}
	}))
	defer server.Close()
	g := fetch.New(policy(t, "127.0.0.1"), nil)
	var urls, want []string
	for i := range 50 {
		urls, want = append(urls, fmt.Sprintf("%s/%d", server.URL, i)), append(want, fmt.Sprintf("/%d", i))
	}
	urls = append(urls, server.URL+"/large", server.URL+"/cut", server.URL+"/gone", server.URL+"/last")
	want = append(want, string(large), "fetch_failed", "fetch_failed", "/last")
	if got := get(t, g, urls...); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %.200q, want %.200q", got, want)
	}
	if n := most.Load(); n > 8 {
		t.Errorf("%d at once", n)
	}

	// Files that are not wanted, and those that nobody has come to, are let go.
	readers, done := g.Open(t.Context(), []string{server.URL + "/large", server.URL + "/large", server.URL + "/1", server.URL + "/large"})
	one := make([]byte, 1)
	for _, r := range readers[:3] {
		if _, err := r.Read(one); err != nil {
			t.Error(err)
		}
	}
	done()
	server.Close() // waits for every request
	if _, done = g.Open(t.Context(), urls); done != nil {
		done() // nothing was begun
	}
}

func TestPolicies(t *testing.T) {
	for text, ok := range map[string]bool{
		"none": true, "public": true, "images.example.com": true, "*.example.com": true, "public, 10.0.0.0/8": true, "::1": true, "fd00::/8,a.b": true, "localhost": true,
		"": false, "https://example.com": false, "example.com/x": false, "a b": false, "*": false, "*example.com": false, "none,public": false, "example.com:80": false, "10.0.0.0/33": false, ".example.com": false,
	} {
		if _, err := fetch.ParsePolicy(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if !policy(t, "none").None() || policy(t, "public").None() || policy(t, "a.b").None() || policy(t, "::1").None() {
		t.Error("which policies permit nothing is told wrongly")
	}
	if err := fetch.New(policy(t, "none"), nil).Allowed(); ocelli.AsError(err) == nil {
		t.Errorf("none allows: %v", err)
	}
}

func TestName(t *testing.T) {
	for url, want := range map[string]string{
		"https://x.org/a/dog.jpg?sig=1": "dog.jpg", "https://x.org/": "image", "https://x.org": "image", "": "image", "http://x/%2e%2e": "image", "http://x/a%20b.png": "a b.png",
	} {
		if got := fetch.Name(url); got != want {
			t.Errorf("%s is called %q, want %q", url, got, want)
		}
	}
}
