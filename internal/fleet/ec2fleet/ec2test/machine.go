package ec2test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// machine plays one instance.
type machine struct {
	owner  *Machines
	id     string
	dir    string
	index  int
	notice atomic.Bool // EC2 takes it back

	off     chan struct{} // closed when it is to shut down
	offOnce sync.Once
}

func (p *machine) shutDown() { p.offOnce.Do(func() { close(p.off) }) }

// live boots, runs the service, and tells the stand-in when the machine has shut itself down.
func (p *machine) live(ctx context.Context) {
	log := p.owner.Log.With("id", p.id)
	select {
	case <-time.After(p.owner.Boot):
	case <-p.off:
		return
	case <-ctx.Done():
		return
	}
	metadata := httptest.NewServer(p.metadata())
	defer metadata.Close()
	life, err := p.boot(ctx, metadata.URL)
	if err != nil {
		log.Warn("a machine could not be set up", "err", err)
		p.owner.terminate(ctx, p.id)
		return
	}
	defer time.AfterFunc(life, p.shutDown).Stop()
	if err := p.serve(ctx, metadata.URL); err != nil {
		log.Warn("a worker failed", "err", err)
	}
	p.owner.terminate(ctx, p.id)
}

// metadata is the instance metadata service, version 2 alone.
func (p *machine) metadata() http.Handler {
	const token = "a-session-token"
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		fmt.Fprint(w, token)
	})
	get := func(path string, answer func() (string, bool)) {
		mux.HandleFunc("GET /latest/meta-data/"+path, func(w http.ResponseWriter, r *http.Request) {
			text, ok := answer()
			switch {
			case r.Header.Get("X-Aws-Ec2-Metadata-Token") != token:
				http.Error(w, "no token", http.StatusUnauthorized)
			case !ok:
				http.NotFound(w, r)
			default:
				fmt.Fprint(w, text)
			}
		})
	}
	always := func(text string) func() (string, bool) { return func() (string, bool) { return text, true } }
	role := p.owner.Role
	keys, _ := json.MarshalIndent(map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": role.AccessKeyID, "SecretAccessKey": role.SecretAccessKey,
		"Token": role.SessionToken, "Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
	}, "", "  ")
	get("ami-launch-index", always(strconv.Itoa(p.index)))
	get("iam/security-credentials/{$}", always("worker-role"))
	get("iam/security-credentials/worker-role", always(string(keys)))
	get("spot/instance-action", func() (string, bool) { return `{"action":"terminate"}`, p.notice.Load() })
	return mux
}

// shim is a program of systemd that only writes down what it was asked for.
const shim = `#!/bin/sh
echo "$(basename "$0") $*" >> %q
`

var lifeSpan = regexp.MustCompile(`(?m)^systemd-run .*--on-active=(\d+) systemctl poweroff$`)

// boot executes the user data, and returns after what time the machine is to shut down.
func (p *machine) boot(ctx context.Context, metadata string) (time.Duration, error) {
	script, err := p.owner.userData(ctx, p.id)
	if err != nil {
		return 0, err
	}
	asked := filepath.Join(p.dir, "asked")
	for _, dir := range []string{"bin", "units", "etc"} {
		if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
			return 0, err
		}
	}
	for _, name := range []string{"systemctl", "systemd-run"} {
		if err := os.WriteFile(filepath.Join(p.dir, "bin", name), fmt.Appendf(nil, shim, asked), 0o755); err != nil {
			return 0, err
		}
	}
	here := strings.NewReplacer(
		"http://169.254.169.254", metadata,
		"/opt/ocelli", filepath.Join(p.dir, "opt"), "/run/systemd/system", filepath.Join(p.dir, "units"),
	).Replace(string(script))
	booting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.off:
			cancel()
		case <-booting.Done():
		}
	}()
	cmd := exec.CommandContext(booting, "bash", "-s")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what the script waits for, too
	cmd.Stdin = strings.NewReader(here)
	cmd.Env = []string{"PATH=" + filepath.Join(p.dir, "bin") + ":" + os.Getenv("PATH")}
	said, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("the user data failed: %w: %s", err, said)
	}
	done, err := os.ReadFile(asked)
	if err != nil {
		return 0, fmt.Errorf("the user data asked systemd for nothing: %s", said)
	}
	life := lifeSpan.FindSubmatch(done)
	if life == nil || !bytes.HasSuffix(done, []byte("\nsystemctl start --no-block ocelli-worker\n")) || bytes.Contains(done, []byte("\nsystemctl poweroff")) {
		return 0, fmt.Errorf("the user data asked systemd for something else: %s", done)
	}
	seconds, err := strconv.Atoi(string(life[1]))
	return time.Duration(seconds) * time.Second, err
}

// unit is what is read of the service's unit file.
type unit struct {
	start string
	env   []string
	burst int
}

func readUnit(path string) (unit, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return unit{}, err
	}
	var u unit
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			u.start = value
		case "Environment":
			u.env = append(u.env, value)
		case "StartLimitBurst":
			if u.burst, err = strconv.Atoi(value); err != nil {
				return unit{}, err
			}
		}
	}
	if u.start == "" || u.burst == 0 {
		return unit{}, fmt.Errorf("%s has no ExecStart, or no StartLimitBurst:\n%s", path, text)
	}
	return u, nil
}

// serve runs the service until it ends well, crashes too often, or the machine shuts down.
func (p *machine) serve(ctx context.Context, metadata string) error {
	u, err := readUnit(filepath.Join(p.dir, "units", "ocelli-worker.service"))
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(p.dir, "worker.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	for range u.burst {
		env := append([]string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata,
		}, p.owner.Env...)
		for _, kv := range u.env {
			if !strings.HasPrefix(kv, "XDG_CACHE_HOME=") {
				env = append(env, kv)
			}
		}
		ended, err := p.run(ctx, u.start, env, log)
		if ended || err == nil {
			return err
		}
		p.owner.Log.Info("systemd starts a worker again", "id", p.id, "err", err)
	}
	return errors.New("it crashed too often: see " + log.Name())
}

// run runs the service once; ended tells that the machine has shut it down.
func (p *machine) run(ctx context.Context, path string, env []string, log io.Writer) (ended bool, err error) {
	cmd := exec.Command(path)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case err := <-exited:
		return false, err
	case <-ctx.Done():
	case <-p.off:
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-exited:
			return true, err
		case <-time.After(100 * time.Second):
		case <-ctx.Done():
		}
	}
	_ = cmd.Process.Kill()
	<-exited
	return true, nil
}
