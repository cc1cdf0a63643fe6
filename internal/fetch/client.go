package fetch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/ocelli/ocelli"
)

const (
	mostRedirects = 5
	dialTime      = 10 * time.Second
	headerTime    = 20 * time.Second
)

// NewClient returns a client that asks only whom the policy permits. Each connection is checked when the address is known and before a
// byte is sent, so that neither a redirect nor a name that changes its address leads elsewhere. resolver nil is the system's.
func NewClient(policy Policy, resolver *net.Resolver) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: dialTime, Resolver: resolver, Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil || !policy.permits(host, to) {
				return refused(host)
			}
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
	return &http.Client{
		// No proxy: what it would connect to could not be checked.
		Transport: &http.Transport{
			DialContext:            dial,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // an image is compressed, and a bomb need not be unpacked
			TLSHandshakeTimeout:    dialTime,
			ResponseHeaderTimeout:  headerTime,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        30 * time.Second,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > mostRedirects {
				return ocelli.Errorf(ocelli.FetchFailed, "cannot be fetched: %.100s sends from one address to the next", req.URL.Hostname())
			}
			req.Header.Del("Referer") // it may hold a signature
			_, err := policy.Check(req.URL.String())
			return err
		},
	}
}

// explain says in a sentence that lacks its subject why something did not come from host. The text of the error itself may hold the
// whole URL.
func explain(err error, host string, after time.Duration) *ocelli.Error {
	if e := ocelli.AsError(err); e != nil {
		return e
	}
	var unknown *net.DNSError
	var timeout interface{ Timeout() bool }
	why := "the connection broke off"
	switch {
	case errors.As(err, &unknown) && unknown.IsNotFound:
		why = "there is no such host"
	case errors.Is(err, context.Canceled), errors.As(err, &timeout) && timeout.Timeout():
		why = "nothing came for " + after.String()
	case errors.Is(err, syscall.ECONNREFUSED):
		why = "it takes no connections"
	}
	return ocelli.Errorf(ocelli.FetchFailed, "cannot be fetched from %.100s: %s", host, why)
}
