package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// brokerToken is the secret of the brokers of a run. Nobody else is in their networks.
const brokerToken = "token-of-chaos"

// What all services are told. Short leases make lost workers known soon.
var settings = []string{"--lease=2s"}

// workerSettings hold the machine's load down. An attempt counts where a fault hits the worker that has the image in hand, and there
// are more faults here than an operator would bear.
var workerSettings = []string{"--max-workers=2", "--min-workers=1", "--worker-idle=5s", "--image-time=10s", "--max-attempts=5"}

// raise starts all services that are asked for and that the machine can run.
func raise(ctx context.Context, o options, m *machine, out io.Writer) ([]*service, error) {
	var services []*service
	for _, kind := range []struct {
		name  string
		raise func(*service, *machine) error
		lacks string
	}{
		{"up", raiseUp, ""},
		{"fleet", raiseFleet, ""},
		{"cloud", raiseCloud, lacksCloud(m)},
	} {
		if o.services != "" && !slices.Contains(strings.Split(o.services, ","), kind.name) {
			continue
		}
		if kind.lacks != "" {
			fmt.Fprintf(out, "the service %s is left out: %s\n", kind.name, kind.lacks)
			continue
		}
		s, err := newService(o, kind.name)
		if err != nil {
			return services, err
		}
		services = append(services, s)
		if err := kind.raise(s, m); err != nil {
			return services, fmt.Errorf("starting the service %s: %w", kind.name, err)
		}
	}
	for _, s := range services {
		if err := s.awaitReady(ctx, time.Minute); err != nil {
			return services, err
		}
	}
	return services, nil
}

// raiseUp starts everything in one process, its data on a disk of its own.
func raiseUp(s *service, m *machine) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	s.url, s.data, s.keepers = "http://"+address, filepath.Join(s.dir, "data"), []string{"up"}
	if m.noDisk == "" {
		if s.disk, err = newDisk(s.dir); err != nil {
			return err
		}
		s.data = filepath.Join(s.disk.at, "data")
	}
	return s.run("up", slices.Concat(settings, workerSettings, []string{"--listen=" + address, "--data=" + s.data, "--queue-bytes=64MB"})...)
}

// raiseFleet starts one process a role, and the broker at the other end of a cable.
func raiseFleet(s *service, m *machine) error {
	s.data, s.keepers = filepath.Join(s.dir, "data"), []string{"scale"}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	host, beyond := "127.0.0.1", exec.Command
	if m.noNetwork == "" {
		if s.network, err = newNetwork(); err != nil {
			return err
		}
		host, beyond = s.network.there, s.network.beyond
	}
	_, port, _ := strings.Cut(address, ":")
	config := filepath.Join(s.dir, "nats.conf")
	if err := writeFile(config, fmt.Sprintf("listen: \"%s:%s\"\nauthorization { token: %q }\njetstream { store_dir: %q, sync_interval: always }\n",
		host, port, brokerToken, filepath.Join(s.dir, "queue"))); err != nil {
		return err
	}
	if err := s.keep("broker", func() *exec.Cmd { return beyond(filepath.Join(s.bin, "nats-server"), "-c", config) }); err != nil {
		return err
	}
	return s.roles("--queue=nats://"+host+":"+port, "--blobs=file://"+s.data)
}

// roles starts a web node and a controller.
func (s *service) roles(queue, blobs string) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	s.url = "http://" + address
	where := append([]string{queue, blobs}, settings...)
	if err := s.run("serve", append(where, "--listen="+address)...); err != nil {
		return err
	}
	return s.run("scale", slices.Concat(where, workerSettings)...)
}
