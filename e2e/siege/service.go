package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ocelli/ocelli/client"
)

// service is `ocelli up` on a folder of its own.
type service struct {
	program, dir, url string
	cmd               *exec.Cmd
	client            *client.Client
	log               *os.File
	key               string // of the flood, where the service asks for keys
}

var greeting = regexp.MustCompile(`Ocelli is up at (http://\S+)`)

// prepare makes the folder of a service that is not started yet.
func prepare(program string) (*service, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ocelli-siege-")
	return &service{program: program, dir: dir}, err
}

// newKey makes a key of an owner, who may send and read what is his.
func (s *service) newKey(ctx context.Context, owner string) (string, error) {
	text, err := exec.CommandContext(ctx, s.program, "keys", "create", "--data="+filepath.Join(s.dir, "data"), "--owner="+owner, "--label="+owner, "--json").Output()
	if err != nil {
		return "", fmt.Errorf("making a key for %s: %w", owner, err)
	}
	var made struct{ Key string }
	return made.Key, json.Unmarshal(text, &made)
}

func start(ctx context.Context, program string, args ...string) (*service, error) {
	s, err := prepare(program)
	if err != nil {
		return nil, err
	}
	return s, s.start(ctx, args...)
}

// start starts the service, and waits until it listens.
func (s *service) start(ctx context.Context, args ...string) (err error) {
	if s.log, err = os.Create(filepath.Join(s.dir, "up.log")); err != nil {
		return err
	}
	s.cmd = exec.CommandContext(ctx, s.program, append([]string{"up", "--listen=127.0.0.1:0", "--data=" + filepath.Join(s.dir, "data")}, args...)...)
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 20 * time.Second
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w: run `make build`", s.program, err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := greeting.FindStringSubmatch(lines.Text()); m != nil {
			s.url = m[1]
			break
		}
	}
	if s.url == "" {
		text, _ := os.ReadFile(s.log.Name())
		return errors.Join(fmt.Errorf("the service did not come up:\n%s", text), s.end())
	}
	s.client, err = client.New(s.url, client.WithKey(s.key))
	return err
}

func (s *service) end() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	err := s.cmd.Wait()
	s.log.Close()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// usage is what processes hold.
type usage struct {
	resident    int64 // bytes
	descriptors int
}

// usageOf reads what a process holds now; nothing where it has ended.
func usageOf(pid int) (u usage) {
	if pid == 0 {
		return u
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			u.resident = kb << 10
		}
	}
	open, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	u.descriptors = len(open)
	return u
}
