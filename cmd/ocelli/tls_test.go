package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes a self-signed certificate with the serial number, and its key.
func certify(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// secured serves HTTPS as the settings say and returns the address.
func secured(t *testing.T, s tlsSettings, at, cache string) string {
	t.Helper()
	plain, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.wrap(plain, cache, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return plain.Addr().String()
}

func TestACertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	s := tlsSettings{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	if _, err := s.wrap(nil, "", nil); err == nil || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("without files: %v", err)
	}
	certify(t, s.cert, s.key, 1)
	address := secured(t, s, "127.0.0.1:0", "")
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("the certificate served is %d", got)
	}
	// A key that does not fit changes nothing: the files are being replaced one after the other.
	certify(t, filepath.Join(dir, "other.pem"), s.key, 3)
	time.Sleep(certificateCheck) // which is by the clock of the files
	if got := serial(); got != 1 {
		t.Errorf("with a key that does not fit, the certificate served is %d", got)
	}
	certify(t, s.cert, s.key, 2)
	for deadline := time.Now().Add(time.Minute); serial() != 2; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a new certificate is not served")
		}
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	resp, err := client.Get("https://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("HTTP/%d is spoken", resp.ProtoMajor)
	}
}

func TestSettingsOfTLSThatContradictEachOther(t *testing.T) {
	for _, s := range []tlsSettings{{cert: "c"}, {key: "k"}, {cert: "c", key: "k", domains: []string{"x"}}} {
		if len(s.problems()) == 0 {
			t.Errorf("%+v has no problem", s)
		}
	}
	if _, err := (&tlsSettings{domains: []string{"x.example"}}).wrap(nil, "", nil); err == nil || !strings.Contains(err.Error(), "--acme-cache") {
		t.Errorf("without a cache: %v", err)
	}
}
