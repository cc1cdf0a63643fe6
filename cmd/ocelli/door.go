package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
)

// doorSettings say who may come in, by what names the node is known, and whether the way there is encrypted.
type doorSettings struct {
	auth  string
	keys  string
	hosts []string
	front []string // addresses of the reverse proxies before this node
	tls   tlsSettings
}

func (s *doorSettings) register(f *pflag.FlagSet) {
	f.StringVar(&s.auth, "auth", "auto", "ask for API keys: on, off, or auto, which is on where others than this machine can connect")
	f.StringVar(&s.keys, "keys", "", "`FILE` of the API keys (keys.json in the data folder); naming it turns them on")
	f.StringSliceVar(&s.hosts, "host", nil, "`NAME` by which browsers know the service, where it listens on loopback only; may be repeated")
	f.StringSliceVar(&s.front, "trusted-proxy", nil, "`ADDRESS` or network of a reverse proxy that tells who the client is; may be repeated; through a Unix socket every proxy is trusted")
	s.tls.register(f)
}

func (s *doorSettings) problems() []error {
	errs := s.tls.problems()
	if _, err := parseProxies(s.front); err != nil {
		errs = append(errs, err)
	}
	switch s.auth {
	case "auto", "on", "off":
	default:
		errs = append(errs, fmt.Errorf("--auth=%s is not possible: choose on, off or auto", s.auth))
	}
	if s.auth == "off" && s.keys != "" {
		errs = append(errs, errors.New("--auth=off and --keys contradict each other: leave one of them out"))
	}
	return errs
}

// door is what stands before a node.
type door struct {
	guard *access.Guard // nil where everybody may come in
	names []string      // by which the node is known besides those of loopback
	local bool          // only programs of this machine can connect
	front []netip.Prefix
}

// open decides whether keys are needed at the listener's address, and reads them; folder is where they are unless --keys says
// otherwise, or empty. It refuses to let a whole network in unless it is told to.
func (s *doorSettings) open(at net.Addr, folder string, blobs blob.Store, node string, log *slog.Logger) (*door, error) {
	d := &door{names: append(s.hosts, s.tls.domains...), local: !access.BeyondLoopback(at) && len(s.front) == 0}
	var err error
	if d.front, err = parseProxies(s.front); err != nil {
		return nil, err
	}
	if s.auth == "off" || s.auth == "auto" && d.local && s.keys == "" {
		return d, nil
	}
	path := s.keys
	if path == "" && folder != "" {
		path = filepath.Join(folder, keysName)
	}
	if path == "" {
		return nil, usageError{fmt.Errorf("others can connect at %s and there are no API keys: name their file with --keys, or let everybody in with --auth=off", at)}
	}
	keys, err := access.Open(path, log)
	if err != nil {
		return nil, err
	}
	if !keys.Any(time.Now()) {
		return nil, usageError{fmt.Errorf("others can connect at %s and there is no API key yet: make one with `%s keys create --keys %s`, or let everybody in with --auth=off",
			at, filepath.Base(os.Args[0]), path)}
	}
	d.guard = access.NewGuard(keys, blobs, strings.ToLower(node), log)
	return d, nil
}

// before puts the door before a node's handler.
func (d *door) before(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	if d.guard != nil {
		d.guard.Refuse = refuse
		next = d.guard.Handler(next)
	}
	// A page of another site must not make a visitor's browser send images here, or cancel jobs.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, ocelli.Errorf(ocelli.Forbidden, "a page of another site has made a browser send this: programs that are no browsers leave out the headers Origin and Sec-Fetch-Site"))
	}))
	next = origin.Handler(next)
	if d.local || len(d.names) > 0 {
		next = access.Hosts(d.names, refuse, next)
	}
	return access.Proxied(d.front, next)
}

// run does what the door has to do until ctx ends.
func (d *door) run(ctx context.Context) error {
	if d.guard == nil {
		return nil
	}
	return d.guard.Run(ctx)
}
