// Package natsconn connects to a NATS server or cluster by address, with the secrets in the environment.
package natsconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	connectTimeout = 5 * time.Second
	maxBackoff     = 10 * time.Second

	// Two pings without an answer, 20 s apart, make the client connect anew. The library's own two
	// minutes are long beside the lease of a message.
	pingInterval = 20 * time.Second
)

// Config says where to connect and as whom.
type Config struct {
	// URL is the address: one or more of nats://host:port or tls://host:port, joined by commas. It holds no
	// secret, since an address is shown in lists of processes and in logs.
	URL string
	// Name is how the connection is called in the server's lists: the role and the host, for one.
	Name string
	// Token, or else Seed, the secret half of an NKEY, or Creds, a file as `nsc` makes it, says who connects. All may be empty.
	Token string
	Seed  string
	Creds string
	// CA is a file of certificates (PEM) that the server's is checked against, where it is not signed
	// by one that the system knows. Cert and Key are files of the client's own certificate, both or neither.
	CA, Cert, Key string
	// Logger gets what happens to the connection.
	Logger *slog.Logger
}

// FromEnv reads what belongs to the deployment and not to the process from the environment: OCELLI_NATS_TOKEN,
// OCELLI_NATS_SEED, OCELLI_NATS_CREDS, OCELLI_NATS_CA, OCELLI_NATS_CERT and OCELLI_NATS_KEY. getenv is os.Getenv outside tests.
func FromEnv(getenv func(string) string) Config {
	return Config{
		Token: getenv("OCELLI_NATS_TOKEN"),
		Seed:  getenv("OCELLI_NATS_SEED"),
		Creds: getenv("OCELLI_NATS_CREDS"),
		CA:    getenv("OCELLI_NATS_CA"),
		Cert:  getenv("OCELLI_NATS_CERT"),
		Key:   getenv("OCELLI_NATS_KEY"),
	}
}

// Validate reports all that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	for addr := range strings.SplitSeq(c.URL, ",") {
		u, err := url.Parse(addr)
		switch {
		case err != nil:
			errs = append(errs, errors.New("the NATS address cannot be read; it must look like nats://host:4222"))
		case u.User != nil:
			errs = append(errs, fmt.Errorf("the NATS address of %s holds a user or a secret; put a token into OCELLI_NATS_TOKEN, or the path of a credentials file into OCELLI_NATS_CREDS", u.Host))
		case u.Scheme != "nats" && u.Scheme != "tls", u.Hostname() == "", u.RawQuery != "", strings.Trim(u.Path, "/") != "":
			errs = append(errs, fmt.Errorf("the NATS address %q must look like nats://host:4222 or tls://host:4222", addr))
		}
	}
	if c.Token != "" && c.Creds != "" || c.Seed != "" && c.Token+c.Creds != "" {
		errs = append(errs, errors.New("of OCELLI_NATS_TOKEN, OCELLI_NATS_SEED and OCELLI_NATS_CREDS more than one is set; only one can be used"))
	}
	if c.Seed != "" {
		if _, err := Inbox(c.Seed); err != nil {
			errs = append(errs, err)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		errs = append(errs, errors.New("OCELLI_NATS_CERT and OCELLI_NATS_KEY must be set together"))
	}
	return errors.Join(errs...)
}

// Connect connects, which must succeed within a few seconds, and after that keeps the connection: it connects
// anew for ever, with back-off, until the caller closes it.
func Connect(c Config) (*nats.Conn, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	nc, err := nats.Connect(c.URL, c.options()...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w; %s", c.URL, err, advice(err))
	}
	return nc, nil
}

func (c Config) options() []nats.Option {
	opts := append(Options(c.Name, c.Logger), nats.Timeout(connectTimeout))
	if c.Token != "" {
		opts = append(opts, nats.Token(c.Token))
	}
	if c.Seed != "" {
		opts = append(opts, bySeed(c.Seed)...)
	}
	if c.Creds != "" {
		opts = append(opts, nats.UserCredentials(c.Creds))
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	return opts
}

// Options are the options of every connection, also of one within the process: its name, for ever
// connecting anew, and what happens told to log.
func Options(name string, log *slog.Logger) []nats.Option {
	log = log.With("connection", name)
	return []nats.Option{
		nats.Name(name),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(backoff),
		nats.PingInterval(pingInterval),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is a close that was asked for
				log.Warn("lost the connection to NATS; connecting anew", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", "url", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if sub != nil {
				log.Warn("NATS reports an error", "subject", sub.Subject, "err", err)
				return
			}
			log.Warn("NATS reports an error", "err", err)
		}),
	}
}

// backoff is the wait before the given attempt to connect anew: 50 ms doubled up to maxBackoff, and a
// random part, so that a hundred workers do not come back in the same moment.
func backoff(attempt int) time.Duration {
	d := min(50*time.Millisecond<<min(attempt, 16), maxBackoff)
	return d/2 + rand.N(d/2)
}

// advice says what to do about an error of connecting.
func advice(err error) string {
	var unknown *tls.CertificateVerificationError
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return "check OCELLI_NATS_TOKEN, OCELLI_NATS_SEED or OCELLI_NATS_CREDS"
	case errors.As(err, &unknown), errors.Is(err, nats.ErrSecureConnRequired):
		return "check OCELLI_NATS_CA, and that the address begins with tls://"
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return "check that the server runs and that the address is right"
	}
	return "check the address and the OCELLI_NATS_ variables"
}
