package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"time"

	"github.com/ocelli/ocelli/internal/api"
	"github.com/ocelli/ocelli/internal/sandbox"
	"github.com/ocelli/ocelli/internal/telemetry"
)

// sendTime bounds how long the end of a process waits for its last traces to be sent.
const sendTime = 2 * time.Second

// openTracer returns what records the traces of this process, nil where nobody wants them, and what sends the last of them.
func openTracer(ctx context.Context, role string, log *slog.Logger) (*telemetry.Tracer, func(), error) {
	tracer, err := telemetry.OpenTracer(ctx, role, log)
	return tracer, func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
		defer cancel()
		if err := tracer.Close(ending); err != nil {
			log.Warn("the last traces could not be sent", "error", err)
		}
	}, err
}

// reachTraces lets a confined process send its traces.
func reachTraces(p *sandbox.Policy) error {
	at := telemetry.TracesTo()
	if at == "" {
		return nil
	}
	u, err := url.Parse(at)
	if err != nil {
		return fmt.Errorf("the endpoint of traces %q is not a URL", at)
	}
	port := uint16(80)
	if u.Scheme == "https" {
		port = 443
	}
	return reach(p, u, port)
}

// checkDebug returns nil for an address on this machine's loopback interface, and for none.
func checkDebug(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("--debug-listen=%s is not possible: profiles tell what is in memory, so give an address of this machine alone, like 127.0.0.1:6060", address)
	}
	return nil
}

// serveProfiles serves profiles (https://pkg.go.dev/net/http/pprof) at an address of its own, which no proxy in front of the service knows, until
// ctx ends. An empty address is none.
func serveProfiles(ctx context.Context, address string, log *slog.Logger) error {
	if address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serving profiles: %w", err)
	}
	server := &http.Server{Handler: profiles(), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	log.Info("profiles are at", "url", "http://"+listener.Addr().String()+"/debug/pprof/")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving profiles: %w", err)
	}
	return nil
}

func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !api.AtThisMachine(r) { // a page whose name has come to mean this machine, or a proxy after all
			http.Error(w, "profiles are for programs on this machine", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
