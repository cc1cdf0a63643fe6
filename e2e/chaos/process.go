package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one program that is started again whenever it ends, as an init system would.
type process struct {
	name string
	make func() *exec.Cmd
	log  *os.File

	mu     sync.Mutex
	cmd    *exec.Cmd
	held   bool // do not start it again
	ended  bool
	gone   chan struct{} // closed when the keeper has ended
	starts int
}

// keep starts the program and keeps it. Its output goes to NAME.log in the folder.
func keep(dir, name string, command func() *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, make: command, log: log, gone: make(chan struct{})}
	go p.run()
	return p, nil
}

// pause is how long an init system waits before it starts a program again.
const pause = 300 * time.Millisecond

func (p *process) run() {
	defer close(p.gone)
	for {
		cmd, ok := p.start()
		if !ok {
			return
		}
		if cmd != nil {
			_ = cmd.Wait() // says how it was killed
			p.mu.Lock()
			p.cmd = nil
			p.mu.Unlock()
		}
		time.Sleep(pause)
	}
}

// start starts the program unless it is held. ok is false when it has been ended for good.
func (p *process) start() (cmd *exec.Cmd, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, false
	}
	if p.held {
		return nil, true
	}
	cmd = p.make()
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(p.log, "chaos: %v\n", err)
		return nil, true
	}
	p.cmd = cmd
	p.starts++
	return cmd, true
}

// pid is 0 while the program does not run.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errNotThere
	}
	return p.cmd.Process.Signal(sig)
}

// hold keeps the program from being started again, until release.
func (p *process) hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
}

// awaitGone waits until the program does not run.
func (p *process) awaitGone() error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if p.pid() == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s does not end", p.name)
}

// end ends the program for good: gently, then by force.
func (p *process) end() {
	p.mu.Lock()
	p.ended = true
	cmd := p.cmd
	p.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	<-p.gone
	p.log.Close()
}

// workers are the process ids of the workers that the program has as children.
func (p *process) workers() []int {
	parent := p.pid()
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		_, after, _ := strings.Cut(string(text), ") ") // behind the name, which may hold anything
		fields := strings.Fields(after)
		if len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
