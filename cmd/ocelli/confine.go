package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli/internal/sandbox"
)

// leastMemory is how much memory a worker may make writable beyond what it has with its model loaded, where nobody says. [decode.Limits] and the
// networks that people use keep far below it; this holds where the counting is wrong, and costs the image that did it an attempt.
const leastMemory size = 1 << 30

// confine confines this worker to what it needs: its store, the ports of its queue and store, and its memory. Everything that it reads
// once, such as the model, has been read.
func confine(s workerSettings, at urls, spot bool, log *slog.Logger) error {
	mode := s.sandbox
	if mode == sandbox.Off {
		return nil
	}
	p, err := needs(at)
	if err != nil {
		return err
	}
	p.Memory = uint64(s.memory)
	if spot {
		if err := reachMetadata(&p); err != nil {
			return err
		}
	}
	holds, err := sandbox.Enter(p)
	switch {
	case errors.Is(err, sandbox.ErrUnsupported) && mode == sandbox.Auto:
		log.Warn("this worker reads untrusted bytes with less confinement than it could have", "holds", holds, "error", err)
		return nil
	case errors.Is(err, sandbox.ErrUnsupported):
		return fmt.Errorf("%w: use a newer system, or --sandbox=auto to do without", err)
	case err != nil:
		return err
	}
	log.Debug("confined", "holds", holds)
	return nil
}

// needs is what a worker needs of the system for a queue and a store.
func needs(at urls) (sandbox.Policy, error) {
	var p sandbox.Policy
	for _, text := range []string{at.queue, at.blobs} {
		u, err := url.Parse(text)
		if err != nil {
			return p, err
		}
		switch u.Scheme {
		case "file":
			p.Write = append(p.Write, u.Path)
		case "nats", "tls":
			err = reach(&p, u, 4222)
		default:
			err = reachAWS(&p, u)
		}
		if err != nil {
			return p, err
		}
	}
	if err := reachTraces(&p); err != nil {
		return p, err
	}
	// What is read anew for each connection.
	for _, name := range []string{"OCELLI_NATS_CREDS", "OCELLI_NATS_CA", "OCELLI_NATS_CERT", "OCELLI_NATS_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if path := os.Getenv(name); path != "" {
			p.Read = append(p.Read, path)
		}
	}
	return p, nil
}

// certificates are where systems keep those of the authorities that they trust.
var certificates = []string{"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"}

// reach lets the process connect to the host of a URL.
func reach(p *sandbox.Policy, u *url.URL, port uint16) error {
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("the port of %s is not a number up to 65535", u.Host)
		}
		port = uint16(n)
	}
	p.Connect = append(p.Connect, port)
	p.Resolve = p.Resolve || net.ParseIP(u.Hostname()) == nil
	if u.Scheme == "tls" || u.Scheme == "https" {
		p.Read = append(p.Read, certificates...)
	}
	return nil
}

// reachAWS lets the process connect to a service of Amazon or one that speaks as they do, and fetch credentials: from files, from the
// environment, and from the machine, which serves them at port 80 of an address of its own.
func reachAWS(p *sandbox.Policy, u *url.URL) error {
	endpoint := u.Query().Get("endpoint")
	if endpoint == "" {
		endpoint = "https://" + u.Scheme + ".amazonaws.com"
	}
	e, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("the endpoint %q is not a URL", endpoint)
	}
	port := uint16(443)
	if e.Scheme == "http" {
		port = 80
	}
	if err := reach(p, e, port); err != nil {
		return err
	}
	if os.Getenv("AWS_SECRET_ACCESS_KEY") != "" {
		return nil
	}
	p.Connect = append(p.Connect, 443)
	if err := reachMetadata(p); err != nil {
		return err
	}
	for _, name := range os.Environ() {
		name, value, _ := strings.Cut(name, "=")
		if strings.HasPrefix(name, "AWS_") && strings.HasSuffix(name, "_FILE") {
			p.Read = append(p.Read, value)
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		p.Read = append(p.Read, filepath.Join(home, ".aws"))
	}
	return nil
}

// reachMetadata lets the process ask the machine that it runs on, where that is an instance of EC2.
func reachMetadata(p *sandbox.Policy) error {
	p.Connect = append(p.Connect, 80)
	elsewhere, err := url.Parse(os.Getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"))
	if err != nil || elsewhere.Host == "" {
		return nil
	}
	return reach(p, elsewhere, 80)
}
