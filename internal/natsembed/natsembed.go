// Package natsembed runs a NATS server with JetStream inside this process, so that one program on one
// machine has a durable queue without anything else to install.
//
// Every write is synced to the disk before it is answered. The server's own default syncs every two minutes
// and loses all of that when the power fails; see https://docs.nats.io/nats-concepts/jetstream.
package natsembed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// domain is the JetStream domain: should the server ever become a leaf of another, their streams stay apart.
const domain = "ocelli"

// readyTimeout bounds the wait for the listener, after the store has been read.
const readyTimeout = 10 * time.Second

// errDamaged is the error of a store of which a part cannot be read.
var errDamaged = errors.New("the queue's store is damaged")

// Config says how the server runs.
type Config struct {
	// Dir is the folder of the store, made if missing. One process at a time may use it.
	Dir string
	// Listen is where other processes connect: a numeric host and a port, "127.0.0.1:0" when it is
	// empty. Port 0 is any free one.
	Listen string
	// Token is the secret that every connection must show, unless it is one of Workers. It must not be empty.
	Token string
	// Workers, where it is not nil, may connect by a key of their own and do only what is listed.
	Workers *Limited
	// MaxStore is the most bytes that all streams together may take on disk. 0 leaves it to the server:
	// three quarters of what is free.
	MaxStore int64
	// Logger gets the server's warnings and errors, and its notices at the level of debugging.
	Logger *slog.Logger
}

// Limited is a client that may publish to some subjects and subscribe to some, and do nothing else: not even see what else there is.
type Limited struct {
	Key                string   // its public NKEY: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth
	Publish, Subscribe []string // subjects, wildcards among them
}

// users are the clients that connect by keys of their own.
func (c Config) users() []*server.NkeyUser {
	if c.Workers == nil {
		return nil
	}
	return []*server.NkeyUser{{Nkey: c.Workers.Key, Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: c.Workers.Publish},
		Subscribe: &server.SubjectPermission{Allow: c.Workers.Subscribe},
	}}}
}

// Server is a running NATS server. One whose disk takes no more is replaced by a new one on the same store and address; see [Server.Run].
type Server struct {
	cfg  Config
	host string
	port int
	lock *os.File

	mu     sync.Mutex
	server *server.Server
	log    *serverLog
	ended  bool
}

// Start starts a server and returns when it takes connections, which is after it has read its store: about
// a second for each gigabyte. Where ctx has ended by then, the server is ended too and ctx's error returned.
// The caller ends the server with [Server.Shutdown].
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Token == "" {
		return nil, errors.New("start the message server: a token is needed")
	}
	host, port, err := listenAddr(ctx, cfg.Listen)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, host: host, port: port, lock: lock}
	if s.server, s.log, err = s.start(ctx); err != nil {
		s.Shutdown()
		return nil, err
	}
	if tcp, ok := s.server.Addr().(*net.TCPAddr); ok {
		s.port = tcp.Port // others know it from now on
	}
	return s, nil
}

// start starts a server. The one that it returns beside an error is to be shut down.
func (s *Server) start(ctx context.Context) (*server.Server, *serverLog, error) {
	cfg, log := s.cfg, newServerLog(s.cfg.Logger)
	srv, err := server.NewServer(&server.Options{
		ServerName:             "ocelli",
		Host:                   s.host,
		Port:                   s.port,
		Authorization:          cfg.Token,
		Nkeys:                  cfg.users(),
		NoSigs:                 true,
		JetStream:              true,
		JetStreamDomain:        domain,
		StoreDir:               cfg.Dir,
		SyncAlways:             true,
		JetStreamMaxStore:      cfg.MaxStore,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, log, fmt.Errorf("start the message server: %w", err)
	}
	srv.SetLoggerV2(log, false, false, false)

	srv.Start() // which reads the store, and cannot be told to stop
	if err := ctx.Err(); err != nil {
		return srv, log, fmt.Errorf("start the message server: %w", err)
	}
	select {
	case line := <-log.failed:
		return srv, log, fmt.Errorf("start the message server in %s: %s", cfg.Dir, line)
	default:
	}
	if !srv.ReadyForConnections(readyTimeout) {
		return srv, log, fmt.Errorf("start the message server in %s: it took no connections within %v", cfg.Dir, readyTimeout)
	}
	return srv, log, checkRecovered(srv, cfg.Dir)
}

// checkRecovered finds streams that lie in the store and that the server passed over, which it does, with
// no more than a warning, when it cannot read their description. Going on would make an empty stream of the
// same name, and so lose what people sent.
func checkRecovered(srv *server.Server, dir string) error {
	info, err := srv.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		return fmt.Errorf("look at the streams in %s: %w", dir, err)
	}
	served := make(map[string]bool)
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			served[stream.Name] = true
		}
	}
	// A folder without blocks is a stream that was being made when the process was killed.
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*", "msgs", "*.blk"))
	if err != nil {
		return fmt.Errorf("look at the streams in %s: %w", dir, err)
	}
	for _, block := range blocks {
		folder := filepath.Dir(filepath.Dir(block))
		if !served[filepath.Base(folder)] {
			return fmt.Errorf("%w: %s cannot be read; restore it from a backup, or move it away: images that waited are found and sent again", errDamaged, folder)
		}
	}
	return nil
}

// ClientURL is where other processes connect, "nats://127.0.0.1:40123". It does not hold the token.
func (s *Server) ClientURL() string {
	return "nats://" + net.JoinHostPort(s.host, strconv.Itoa(s.port))
}

// Connect connects to the server within this process, without a socket.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	opts = append([]nats.Option{nats.InProcessServer(s), nats.Token(s.cfg.Token)}, opts...)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the message server in this process: %w", err)
	}
	return nc, nil
}

// InProcessConn is how connections that [Server.Connect] made find the server, also after it was replaced.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil, errors.New("the message server waits for its disk")
	}
	return s.server.InProcessConn()
}

// Shutdown closes all connections, writes what is open and returns when the store may be used by another
// process. It may be called again.
func (s *Server) Shutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	end(s.server)
	s.server = nil
	s.lock.Close() // which also unlocks it
}

func end(srv *server.Server) {
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// listenAddr splits the address and makes sure that it can be listened on, since the server's own word
// for that is no help.
func listenAddr(ctx context.Context, addr string) (host string, port int, err error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", 0, fmt.Errorf("the message server cannot listen on %s: %w; stop what listens there, or choose another address", addr, errors.Unwrap(err))
	}
	l.Close()
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("listen on %s: %w", addr, err)
	}
	port, err = strconv.Atoi(p)
	if err != nil {
		return "", 0, fmt.Errorf("listen on %s: the port must be a number", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}
