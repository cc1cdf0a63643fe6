package procfleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/ocelli/ocelli/internal/fleet"
)

// child is a worker that has been forked and not reaped.
type child struct {
	fleet.Instance
	process *os.Process
}

// signal does nothing for a child that has ended.
func (c *child) signal(sig os.Signal) error {
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// lifelineFD is the number of the first of exec.Cmd.ExtraFiles in the child.
const lifelineFD = 3

// outputDelay bounds how long a dead worker's output is read on where a process of its own still holds it open.
const outputDelay = time.Second

// start forks one worker unless its name is alive. Only the thread of Run calls it.
func (l *Launcher) start(name string) (fleet.Instance, error) {
	l.mu.Lock()
	c := l.children[name]
	l.mu.Unlock()
	if c != nil {
		return c.Instance, nil
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return fleet.Instance{}, fmt.Errorf("make a lifeline: %w", err)
	}
	defer theirs.Close()
	lines := &lineWriter{to: l.output, name: name}
	cmd := exec.Command(l.config.Command[0], l.config.Command[1:]...)
	cmd.Dir = l.config.Dir
	cmd.Env = append(os.Environ(), l.config.Env...)
	cmd.Env = append(cmd.Env, fleet.NameEnv+"="+name, LifelineEnv+"="+strconv.Itoa(lifelineFD))
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = lines, lines
	cmd.SysProcAttr = ownGroup()
	cmd.WaitDelay = outputDelay
	if err := cmd.Start(); err != nil {
		ours.Close()
		return fleet.Instance{}, err
	}
	c = &child{
		Instance: fleet.Instance{Name: name, ID: strconv.Itoa(cmd.Process.Pid), Launched: time.Now()},
		process:  cmd.Process,
	}
	l.mu.Lock()
	l.children[name] = c
	l.mu.Unlock()
	l.unreaped.Go(func() { l.reap(c, cmd, lines, ours) })
	return c.Instance, nil
}

// reap waits for the end of the child and tells of it. It holds the other end of the lifeline until then.
func (l *Launcher) reap(c *child, cmd *exec.Cmd, lines *lineWriter, lifeline *os.File) {
	err := cmd.Wait()
	lifeline.Close()
	lines.flush()
	exit := fleet.Exit{Name: c.Name, ID: c.ID, Said: lines.last}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		exit.How = err.Error()
	}
	select {
	case l.exits <- exit:
	default:
	}
	l.mu.Lock()
	delete(l.children, c.Name)
	l.mu.Unlock()
}
