package thumb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"time"

	"github.com/ocelli/ocelli"
)

const (
	children = 2           // that there may be at once
	idleTime = time.Minute // after which a child that nobody needs is ended
)

// Maker makes small copies by its children. Its methods may be called from any number of goroutines.
type Maker struct {
	command []string
	stderr  io.Writer
	log     *slog.Logger
	slots   chan *child // of each child that could be: the one that is there, or nil
}

// NewMaker returns a maker whose children run the command, which calls [Serve] on its input and output; what they say otherwise goes
// to stderr. None is started before it is needed.
func NewMaker(command []string, stderr io.Writer, log *slog.Logger) *Maker {
	m := &Maker{command: command, stderr: stderr, log: log, slots: make(chan *child, children)}
	for range children {
		m.slots <- nil
	}
	return m
}

// Make returns a small copy of the picture that open opens, as a JPEG. It waits for its turn, so that no more originals are in
// memory than there are children. Where the picture is at fault, the error is an [ocelli.Error] without its subject.
func (m *Maker) Make(ctx context.Context, open func() (io.ReadCloser, error)) ([]byte, error) {
	var c *child
	select {
	case c = <-m.slots:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { m.slots <- c }()
	original, err := open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(original, largest))
	_ = original.Close()
	if err != nil {
		return nil, fmt.Errorf("reading a picture: %w", err)
	}
	for {
		fresh := c == nil
		if fresh {
			if c, err = m.start(); err != nil {
				return nil, err
			}
		}
		answer, err := c.make(data)
		if err == nil || ocelli.AsError(err) != nil {
			c.used = time.Now()
			return answer, err
		}
		m.log.Warn("a process that makes small copies failed", "error", err, "bytes", len(data))
		c.end()
		c = nil
		if fresh { // one that was idle may have ended for another reason, and another is tried
			return nil, ocelli.Errorf(ocelli.CorruptImage, "could not be made small: its decoder crashed, or took longer than %s", Time)
		}
	}
}

// Run ends children that are not needed, and all of them when ctx ends.
func (m *Maker) Run(ctx context.Context) error {
	tick := time.NewTicker(idleTime / 4)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			m.prune(time.Now().Add(-idleTime))
		}
	}
	for range children {
		if c := <-m.slots; c != nil { // a copy that is being made is waited for: it takes seconds at most
			c.end()
		}
	}
	for range children {
		m.slots <- nil
	}
	return nil
}

// prune ends the children that nobody has used since then.
func (m *Maker) prune(since time.Time) {
	for range children {
		select {
		case c := <-m.slots:
			if c != nil && c.used.Before(since) {
				c.end()
				c = nil
			}
			m.slots <- c
		default:
			return
		}
	}
}

// child is a process that makes copies.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	used time.Time
}

func (m *Maker) start() (*child, error) {
	cmd := exec.Command(m.command[0], m.command[1:]...)
	cmd.Env = []string{} // it needs to know nothing
	cmd.Stderr = m.stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		var out io.ReadCloser
		if out, err = cmd.StdoutPipe(); err == nil {
			if err = cmd.Start(); err == nil {
				return &child{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
			}
		}
	}
	return nil, fmt.Errorf("starting a process that makes small copies: %w", err)
}

// make has one copy made. After an error that is no [ocelli.Error] the child is of no use any more.
func (c *child) make(data []byte) ([]byte, error) {
	late := time.AfterFunc(Time, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	if err := writeFrame(c.in, data); err != nil {
		return nil, err
	}
	kind, err := c.out.ReadByte()
	if err != nil {
		return nil, err
	}
	answer, err := readFrame(c.out)
	switch {
	case err != nil:
		return nil, err
	case kind == failed:
		return nil, refused(answer)
	case kind != made:
		return nil, errors.New("it answered something else than a picture")
	}
	return answer, nil
}

// end ends the child and waits for that.
func (c *child) end() {
	_ = c.in.Close()
	late := time.AfterFunc(time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	_ = c.cmd.Wait() // how it ends does not matter
}
