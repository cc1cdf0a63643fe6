package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// network is a second network namespace, joined to this one by a cable.
type network struct {
	here, there string // addresses of the two ends
	holder      *exec.Cmd
}

// The names of the two ends of the cable.
const endHere, endThere = "chaos-here", "chaos-there"

func newNetwork() (*network, error) {
	n := &network{here: "198.18.0.1", there: "198.18.0.2"} // of the block for tests of networks, RFC 2544
	// The namespace lives as long as a process in it.
	n.holder = exec.Command("sleep", "infinity")
	n.holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := n.holder.Start(); err != nil {
		return nil, err
	}
	for _, line := range []string{
		"ip link add " + endHere + " type veth peer name " + endThere,
		"ip link set " + endThere + " netns " + strconv.Itoa(n.holder.Process.Pid),
		"ip addr add " + n.here + "/30 dev " + endHere,
		"ip link set " + endHere + " up",
		n.prefix() + "ip addr add " + n.there + "/30 dev " + endThere,
		n.prefix() + "ip link set " + endThere + " up",
		n.prefix() + "ip link set lo up",
	} {
		words := strings.Fields(line)
		if err := command(words[0], words[1:]...); err != nil {
			n.end()
			return nil, err
		}
	}
	return n, nil
}

func (n *network) prefix() string {
	return fmt.Sprintf("nsenter --net=/proc/%d/ns/net ", n.holder.Process.Pid)
}

// beyond is a command that runs at the other end.
func (n *network) beyond(name string, args ...string) *exec.Cmd {
	words := strings.Fields(n.prefix())
	return exec.Command(words[0], append(append(words[1:], name), args...)...)
}

// unplug cuts the cable: what is sent is lost without a word.
func (n *network) unplug() (mend func() error, err error) {
	set := func(state string) error {
		words := strings.Fields(n.prefix() + "ip link set " + endThere + " " + state)
		return command(words[0], words[1:]...)
	}
	return func() error { return set("up") }, set("down")
}

// delay makes packets late: by a fixed time where the kernel can (netem), and otherwise by sending them at the rate of a modem,
// where each waits for those before it.
func (n *network) delay() (mend func() error, err error) {
	add := []string{"qdisc", "add", "dev", endHere, "root"}
	err = command("tc", append(add, "netem", "delay", "300ms", "100ms")...)
	if err != nil {
		err = command("tc", append(add, "tbf", "rate", "128kbit", "burst", "4kb", "latency", "2s")...)
	}
	return func() error { return command("tc", "qdisc", "del", "dev", endHere, "root") }, err
}

func (n *network) end() {
	_ = n.holder.Process.Signal(os.Kill)
	_ = n.holder.Wait()
}
