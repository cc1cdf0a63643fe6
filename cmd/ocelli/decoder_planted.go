//go:build planted

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/work"
)

// plantMark stands behind the last byte of an image, before the order to the planted hole: the image itself is sound.
const plantMark = "\nocelli-plant: "

// planted is a decoder with a hole: it does what an image tells it to do, as one that an intruder has taken over would.
type planted struct{ work.Decoder }

func newDecoder() work.Decoder { return planted{decode.New(decode.Limits{})} }

func (p planted) Decode(ctx context.Context, data []byte, shortSide int) (decode.Picture, error) {
	image, order, found := bytes.Cut(data, []byte(plantMark))
	if !found {
		return p.Decoder.Decode(ctx, data, shortSide)
	}
	verb, argument, _ := strings.Cut(string(order), " ")
	switch verb {
	case "abort": // as a native library does that finds itself in a state that cannot be
		_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGABRT)
		select {}
	case "hang":
		select {}
	case "devour":
		for hoard := [][]byte{}; ; {
			block := make([]byte, 64<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			hoard = append(hoard, block)
		}
	case "break-out":
		return decode.Picture{}, ocelli.Errorf(ocelli.CorruptImage, "tried: %s", strings.Join(breakOut(ctx, argument), "; "))
	}
	return p.Decoder.Decode(ctx, image, shortSide)
}

// breakOut tries what an intruder would and tells what came of each.
func breakOut(ctx context.Context, address string) []string {
	dial := func(network string) error {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	tries := []struct {
		what string
		do   func() error
	}{
		{"read /etc/passwd", func() error { _, err := os.ReadFile("/etc/passwd"); return err }},
		{"list /", func() error { _, err := os.ReadDir("/"); return err }},
		{"read its environment", func() error { _, err := os.ReadFile("/proc/self/environ"); return err }},
		{"write into /tmp", func() error { return os.WriteFile("/tmp/ocelli-planted", nil, 0o600) }},
		{"connect by TCP", func() error { return dial("tcp") }},
		{"send by UDP", func() error { return dial("udp") }},
		{"listen", func() error {
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
			if err == nil {
				l.Close()
			}
			return err
		}},
		{"open a local socket", func() error { _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }},
		{"start a program", func() error { _, err := syscall.ForkExec("/bin/true", []string{"true"}, nil); return err }},
		{"kill its parent", func() error { return unix.Kill(os.Getppid(), 0) }},
		{"trace its parent", func() error { return unix.PtraceAttach(os.Getppid()) }},
		{"change root", func() error { return unix.Chroot("/") }},
		{"become root", func() error { _, _, e := unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0); return errorOf(e) }},
		{"ring the kernel", func() error { _, _, e := unix.RawSyscall(unix.SYS_IO_URING_SETUP, 1, 0, 0); return errorOf(e) }},
		{"load a filter", func() error { _, _, e := unix.RawSyscall(unix.SYS_BPF, 0, 0, 0); return errorOf(e) }},
	}
	var told []string
	for _, t := range tries {
		outcome := "DONE"
		if err := t.do(); err != nil {
			outcome = fmt.Sprintf("refused (%v)", err)
		}
		told = append(told, t.what+": "+outcome)
	}
	return told
}

func errorOf(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}
