package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ocelli/ocelli/internal/testtools"
)

// names answers every question for an IPv4 address with 127.0.0.1, over TCP (RFC 7766), and returns where.
func names(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go answerNames(conn)
		}
	}()
	return l.Addr().String()
}

func answerNames(conn net.Conn) {
	defer conn.Close()
	for {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		packet := make([]byte, size)
		var m dnsmessage.Message
		if _, err := io.ReadFull(conn, packet); err != nil || m.Unpack(packet) != nil || len(m.Questions) == 0 {
			return
		}
		q := m.Questions[0]
		m.Header.Response, m.Additionals = true, nil
		if q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		answer, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// free is a port that nobody listens on.
func free(t *testing.T) int {
	return int(netip.MustParseAddrPort(testtools.Address(t)).Port())
}

// authority starts an ACME authority that looks for its customers at port, and returns the URL of its directory.
func authority(t *testing.T, port int) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certify(t, cert, key, 1)
	address := testtools.Address(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": testtools.Address(t), "certificate": cert, "privateKey": key,
		"httpPort": free(t), "tlsPort": port, "ocspResponderURL": "", "externalAccountBindingRequired": false,
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := testtools.Command(t, "bin/pebble", "-config", file, "-dnsserver", names(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the authority said:\n%s", &said)
		}
	})
	// Certificates of the authority's own site are not the matter here.
	transport := http.DefaultTransport.(*http.Transport)
	before := transport.TLSClientConfig
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	t.Cleanup(func() { transport.TLSClientConfig = before })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("https://" + address + "/dir")
		if err == nil {
			resp.Body.Close()
			return "https://" + address + "/dir"
		}
		if time.Now().After(deadline) {
			t.Fatalf("the authority does not answer: %v", err)
		}
	}
}

// A node fetches a certificate for its name from an authority that does what Let's Encrypt does, and keeps it.
func TestACertificateIsFetchedByACME(t *testing.T) {
	port, cache := free(t), t.TempDir()
	s := tlsSettings{domains: []string{"photos.example"}, directory: authority(t, port)}
	address := secured(t, s, "127.0.0.1:"+strconv.Itoa(port), cache)
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", address, &tls.Config{ServerName: "photos.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	leaf := conn.ConnectionState().PeerCertificates[0]
	if err := leaf.VerifyHostname("photos.example"); err != nil || !strings.Contains(leaf.Issuer.CommonName, "Pebble") {
		t.Errorf("the certificate is for %v, by %s: %v", leaf.DNSNames, leaf.Issuer, err)
	}
	kept, err := os.ReadFile(filepath.Join(cache, "photos.example"))
	if err != nil || !bytes.Contains(kept, []byte("CERTIFICATE")) {
		t.Errorf("the certificate is not kept: %v", err)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{ServerName: "other.example", RootCAs: x509.NewCertPool()}); err == nil {
		t.Error("a certificate is fetched for any name that is asked for")
	}
}
