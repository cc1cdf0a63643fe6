package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listen takes the address, HOST:PORT or unix:/PATH, or says why it cannot.
func listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	if isAddressInUse(err) {
		_, port, _ := net.SplitHostPort(address)
		next := "another"
		if n, err := strconv.Atoi(port); err == nil {
			next = strconv.Itoa(n + 1)
		}
		return nil, fmt.Errorf("%s is taken by another program: stop that, or choose another port, for one with --listen 127.0.0.1:%s", address, next)
	}
	return nil, fmt.Errorf("cannot listen on %q: %w: give --listen an address of this machine and a port, like 127.0.0.1:8080, or unix:/run/ocelli/ocelli.sock", address, err)
}

// listenUnix makes a socket that the user and group of this process may connect to: the group is how a reverse proxy is let in. A socket that
// a crashed process has left is taken away; one that somebody listens at is not.
func listenUnix(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%s is taken by another program: stop that, or choose another path for --listen unix:PATH", path)
	} else if info, second := os.Lstat(path); second == nil && info.Mode().Type() == os.ModeSocket && errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("cannot take away the socket that a crash has left: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w: the folder must be there and writable, and the path short", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot let the group connect to %s: %w", path, err)
	}
	return l, nil
}

// parseProxies reads addresses and networks of reverse proxies.
func parseProxies(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, second := netip.ParseAddr(text)
			if second != nil {
				return nil, fmt.Errorf("--trusted-proxy=%s is not possible: give an address like 127.0.0.1, or a network like 10.0.0.0/8", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, p.Masked())
	}
	return all, nil
}
