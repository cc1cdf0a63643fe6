package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// tlsSettings say where the certificate of a node comes from: nowhere, from files, or from an authority by ACME (RFC 8555).
type tlsSettings struct {
	cert, key string
	domains   []string
	directory string
	email     string
	cache     string
}

func (s *tlsSettings) register(f *pflag.FlagSet) {
	f.StringVar(&s.cert, "tls-cert", "", "serve HTTPS with the certificate chain in this `FILE` (PEM), read again when it changes")
	f.StringVar(&s.key, "tls-key", "", "`FILE` of its private key (PEM)")
	f.StringSliceVar(&s.domains, "acme-domain", nil, "serve HTTPS under this `NAME` with a certificate that is fetched and renewed by ACME; may be repeated")
	f.StringVar(&s.directory, "acme-directory", autocert.DefaultACMEDirectory, "`URL` of the ACME authority, to whose terms --acme-domain agrees")
	f.StringVar(&s.email, "acme-email", "", "`ADDRESS` at which the authority reaches you")
	f.StringVar(&s.cache, "acme-cache", "", "`FOLDER` for the certificates (acme in the data folder)")
}

func (s *tlsSettings) problems() []error {
	var errs []error
	if (s.cert == "") != (s.key == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key belong together: give both"))
	}
	if s.cert != "" && len(s.domains) > 0 {
		errs = append(errs, errors.New("--tls-cert and --acme-domain contradict each other: leave one of them out"))
	}
	return errs
}

func (s *tlsSettings) scheme() string {
	if s.cert != "" || len(s.domains) > 0 {
		return "https"
	}
	return "http"
}

// wrap makes a listener speak TLS where the settings ask for it. cache is the folder of ACME certificates unless --acme-cache names one.
//
// ACME proves that the name is ours by an answer within TLS (tls-alpn-01, RFC 8737), so the authority must reach this listener at port 443.
func (s *tlsSettings) wrap(l net.Listener, cache string, log *slog.Logger) (net.Listener, error) {
	if s.cert != "" {
		pair := &certificate{cert: s.cert, key: s.key, log: log}
		if err := pair.read(); err != nil {
			return nil, err
		}
		return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}}), nil
	}
	if len(s.domains) == 0 {
		return l, nil
	}
	if s.cache != "" {
		cache = s.cache
	}
	if cache == "" {
		return nil, usageError{errors.New("--acme-cache is missing: name a folder that keeps the certificates, since authorities give few a week")}
	}
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(cache), HostPolicy: autocert.HostWhitelist(s.domains...),
		Email: s.email, Client: &acme.Client{DirectoryURL: s.directory},
	}
	cfg := m.TLSConfig()
	cfg.MinVersion = tls.VersionTLS12
	return tls.NewListener(l, cfg), nil
}

// certificate is one in two files that others replace meanwhile.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   [2]time.Time // when the files were last changed
	loaded  *tls.Certificate
}

// certificateCheck is how long a new certificate may go unnoticed.
const certificateCheck = time.Second

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		if err := c.read(); err != nil {
			c.log.Warn("the certificate could not be read again; that of before is served", "error", err)
		}
	}
	return c.loaded, nil
}

// read reads the files where they have changed. While they are being replaced they may not fit each other: then the next read will.
func (c *certificate) read() error {
	c.checked = time.Now()
	var stamp [2]time.Time
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("reading the certificate: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	if c.loaded != nil && stamp == c.stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("the certificate in %s and the key in %s cannot be used: %w", c.cert, c.key, err)
	}
	c.loaded, c.stamp = &pair, stamp
	return nil
}
