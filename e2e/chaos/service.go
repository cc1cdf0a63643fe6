package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// service is one deployment of the program under test, with its load and what was broken of it.
type service struct {
	name string
	dir  string // logs, and data unless they are elsewhere
	url  string
	env  []string
	bin  string

	processes map[string]*process // by role: up, serve, scale, broker, s3
	keepers   []string            // the roles that have workers
	data      string              // folder of the images and results, or "" where they are in S3
	disk      *disk
	network   *network
	sqs       *sqsServer
	skew      []byte // the shared page of the clock

	ledger ledger

	mu     sync.Mutex
	faults []fault // in the order of their beginnings
}

// fault is something that was broken.
type fault struct {
	kind       string
	began      time.Time
	ended      time.Time
	backAfter  time.Duration // from its beginning to the first job that was accepted after it; 0 while there is none
	impossible error
}

func newService(o options, name string) (*service, error) {
	s := &service{name: name, dir: filepath.Join(o.keep, name), bin: o.bin, processes: map[string]*process{}}
	s.ledger.service = s
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	clock := filepath.Join(s.dir, "clock")
	if err := os.WriteFile(clock, make([]byte, 8), 0o644); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(clock, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s.skew, err = syscall.Mmap(int(f.Fd()), 0, 8, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("sharing a clock: %w", err)
	}
	s.env = append(os.Environ(), clockEnv+"="+clock, "OCELLI_NATS_TOKEN="+brokerToken)
	return s, nil
}

// setClock puts the clock of all processes of the service off by so much.
func (s *service) setClock(off time.Duration) {
	binary.NativeEndian.PutUint64(s.skew, uint64(int64(off/time.Second)))
}

// freeAddress returns an address of the loopback interface at which nobody listens. It is the same for all starts of a role.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// run starts a role of the program under test and keeps it running.
func (s *service) run(role string, args ...string) error {
	return s.keep(role, func() *exec.Cmd {
		return exec.Command(filepath.Join(s.bin, "ocelli"), append([]string{role}, args...)...)
	})
}

func (s *service) keep(role string, command func() *exec.Cmd) error {
	p, err := keep(s.dir, role, func() *exec.Cmd {
		cmd := command()
		cmd.Env = s.env
		return cmd
	})
	if err == nil {
		s.processes[role] = p
	}
	return err
}

// awaitReady waits until the service says that it can take images.
func (s *service) awaitReady(ctx context.Context, within time.Duration) error {
	var last error
	for end := time.Now().Add(within); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		resp, err := quick.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("/readyz answers %s", resp.Status)
		}
		last = err
	}
	return fmt.Errorf("%s is not ready within %v: %w\n%s", s.name, within, last, s.tails())
}

// tails are the last lines of all logs.
func (s *service) tails() string {
	var b strings.Builder
	for role := range s.processes {
		text, _ := os.ReadFile(filepath.Join(s.dir, role+".log"))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "--- %s %s\n%s\n", s.name, role, strings.Join(lines[max(0, len(lines)-12):], "\n"))
	}
	return b.String()
}

var quick = &http.Client{Timeout: 10 * time.Second}

// suffer puts load on the service and breaks it for the set time, then lets it recover and checks it.
func (s *service) suffer(ctx context.Context, o options, out io.Writer) error {
	random := rand.New(rand.NewPCG(o.seed, uint64(len(s.name))<<32+uint64(s.name[0])))
	loading, enough := context.WithCancel(ctx)
	defer enough()
	var load sync.WaitGroup
	for i := range loaders {
		r := rand.New(rand.NewPCG(o.seed, random.Uint64()))
		load.Go(func() { s.ledger.load(loading, i, r) })
	}
	load.Go(func() { s.ledger.watch(loading) })
	s.breakThings(ctx, o, random, out)
	enough()
	load.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.setClock(0)
	if err := s.awaitReady(ctx, 2*time.Minute); err != nil {
		return err
	}
	return s.ledger.settle(ctx, 5*time.Minute)
}

// lastFault is the index of the last fault that began before the moment, or -1.
func (s *service) lastFault(at time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.faults, at, func(f fault, at time.Time) int { return f.began.Compare(at) })
	return i - 1
}

// accepted notes that a request that began at that moment was just accepted: the service takes images again.
func (s *service) accepted(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.faults {
		if f := &s.faults[i]; f.backAfter == 0 && f.began.Before(began) {
			f.backAfter = time.Since(f.began)
		}
	}
}

func (s *service) end() {
	s.ledger.close()
	for _, role := range []string{"up", "serve", "scale", "broker", "s3"} {
		if p := s.processes[role]; p != nil {
			p.end()
		}
	}
	if s.sqs != nil {
		s.sqs.end()
	}
	if s.network != nil {
		s.network.end()
	}
	if s.disk != nil {
		_ = s.disk.unmount()
	}
}
