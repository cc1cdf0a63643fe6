package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// insideEnv marks the process that runs in the namespaces.
const insideEnv = "OCELLI_CHAOS_INSIDE"

func inside() bool { return os.Getenv(insideEnv) != "" }

// enter runs this program again in namespaces of its own for mounts, networks and processes. The first process of the last ends with all others.
func enter(ctx context.Context, o options, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-duration="+o.duration.String(), fmt.Sprintf("-seed=%d", o.seed), "-every="+o.every.String(),
		"-services="+o.services, "-kinds="+o.kinds, "-keep="+o.keep, "-bin="+o.bin)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the run in its own namespaces: %w", err)
	}
	return nil
}

// machine is what this machine lets the harness do. Each field that is not empty is the reason why not.
type machine struct {
	noDisk    string // file systems of one's own
	noNetwork string // network namespaces
	tools     string // folder of the servers of scripts/testtools.sh, or ""
}

// look finds out what the machine allows.
func look(out io.Writer) *machine {
	m := &machine{tools: os.Getenv("OCELLI_TEST_TOOLS")}
	if !inside() {
		m.noDisk, m.noNetwork = "this needs root", "this needs root"
		return m
	}
	// What is mounted here must not show outside.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		m.noDisk = err.Error()
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		m.noDisk = err.Error()
	}
	if err := command("ip", "link", "set", "lo", "up"); err != nil {
		m.noNetwork = err.Error()
	}
	for _, why := range []string{m.noDisk, m.noNetwork} {
		if why != "" {
			fmt.Fprintln(out, "some faults are left out:", why)
		}
	}
	return m
}

// command runs a program of the system, and says what it said where it fails.
func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
