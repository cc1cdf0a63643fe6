package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/procfleet"
	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/scale"
)

const defaultListen = "127.0.0.1:8080"

// upSettings are what `ocelli up` can be told, beyond what every web node can.
type upSettings struct {
	shared          sharedSettings
	node            nodeSettings
	worker          workerSettings
	data            string
	minWorkers      int
	maxWorkers      int
	policy          string
	imagesPerWorker int
	workerIdle      time.Duration
	storeBytes      size
}

func newUpCommand() *cobra.Command {
	s := upSettings{storeBytes: 8 << 30}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: web page, API, durable queue, and as many workers as the backlog is worth",
		Example: "  ocelli up\n  ocelli up --listen :8080 --data /var/lib/ocelli --model resnet50.onnx\n" +
			"  ocelli up --max-workers 2 --min-workers 1",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.validate(); err != nil {
				return err
			}
			return up(cmd.Context(), s, newLogger(cmd.ErrOrStderr(), s.shared.logLevel), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	s.shared.register(f)
	s.node.register(f)
	s.worker.register(f)
	f.StringVar(&s.data, "data", "ocelli-data", "keep images, results and the queue in this `FOLDER`")
	f.IntVar(&s.minWorkers, "min-workers", 0, "workers kept even when there is no work")
	f.IntVar(&s.maxWorkers, "max-workers", runtime.NumCPU(), "workers at most")
	f.StringVar(&s.policy, "policy", scale.Breakeven, "scaling policy: "+scale.Breakeven+" or "+scale.Backlog)
	f.IntVar(&s.imagesPerWorker, "images-per-worker", 5, "images per worker, for the policy "+scale.Backlog)
	f.DurationVar(&s.workerIdle, "worker-idle", 10*time.Second, "how long fewer workers must have been enough before one is ended")
	f.Var(&s.storeBytes, "queue-bytes", "disk space that the queue may take")
	return cmd
}

// validate tells everything that is wrong with the settings at once.
func (s *upSettings) validate() error {
	errs := append(append(s.shared.problems(), s.node.problems()...), s.worker.problems()...)
	return asUsage(append(errs, s.scaling().Validate()))
}

// scaling is the policy that the settings ask for.
func (s *upSettings) scaling() scale.Policy {
	p := scale.Local(s.maxWorkers)
	p.Name, p.Min, p.ImagesPerWorker = s.policy, s.minWorkers, s.imagesPerWorker
	p.Hold = s.workerIdle.Seconds()
	return p
}

// up runs the whole service until ctx ends, then lets the workers finish what they hold.
func up(ctx context.Context, s upSettings, log *slog.Logger, out io.Writer) error {
	limitMemory(nodeMemory)
	// The address is taken first: where it cannot be had, nothing else has happened yet.
	listener, err := listen(s.node.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	model, err := identify(s.worker.modelSettings)
	if err != nil {
		return err
	}
	data, err := filepath.Abs(s.data)
	if err != nil {
		return err
	}

	token := rand.Text()
	broker, err := natsembed.Start(ctx, natsembed.Config{
		Dir: filepath.Join(data, "queue"), Token: token, MaxStore: int64(s.storeBytes), Logger: log,
	})
	if err != nil {
		return err
	}
	defer broker.Shutdown()
	b, err := openEmbedded(ctx, broker, data, s.shared.lease)
	if err != nil {
		return err
	}
	defer b.close()

	launcher, err := newProcessLauncher(s, urls{queue: broker.ClientURL(), blobs: "file://" + data}, token)
	if err != nil {
		return err
	}
	roster := fleet.NewRoster(b.bus)
	crew := fleet.NewCrew(launcher, roster, log, fleet.CrewConfig{Exits: launcher.Exits()})

	journal := scale.OpenJournal(filepath.Join(data, "decisions.ndjson"))
	n := newNode(s.shared, s.node, b, roster, model, journal, log)
	loop := scale.NewLoop(s.scaling(), b.queue, crew, n.accepted.Load, journal.Record, log)
	n.keep(crew, loop, s.maxWorkers)

	group, ctx := errgroup.WithContext(ctx)
	hands, letGo := context.WithCancel(context.WithoutCancel(ctx))
	defer letGo()
	group.Go(func() error { return launcher.Run(hands) })
	group.Go(func() error { return roster.Run(hands) })
	group.Go(func() error {
		err := loop.Run(ctx)
		// The service ends: the workers finish what they hold while the queue is still there.
		ending, cancel := context.WithTimeout(hands, shutdownTime)
		defer cancel()
		err = errors.Join(err, crew.End(ending))
		letGo()
		return err
	})
	group.Go(func() error { return n.run(ctx, listener) })
	group.Go(func() error { return broker.Watch(ctx) })
	greet(out, listener.Addr(), data)
	return group.Wait()
}

// newProcessLauncher launches this very binary as workers.
func newProcessLauncher(s upSettings, at urls, token string) (*procfleet.Launcher, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the program to start workers with: %w", err)
	}
	return procfleet.New(procfleet.Config{
		Command: append([]string{self}, workerArgs(s.shared, s.worker, at)...),
		Env:     []string{natsTokenEnv + "=" + token},
		Output:  os.Stderr,
		Grace:   shutdownTime,
	})
}

// greet says where the service is and what to try.
func greet(out io.Writer, addr net.Addr, data string) {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, port)
	fmt.Fprintf(out, `Ocelli is up at %s

  open it         and drop in photos
  or              curl -F image=@photo.jpg '%s/v1/jobs?wait=60s'
  one image       curl --data-binary @photo.jpg %s/v1/classify
  what goes on    ocelli status --server %s

Images, results and the queue are kept in %s. Ctrl-C stops the service; what waits goes on at the next start.
`, url, url, url, url, data)
}

// listen takes the address, or says why it cannot.
func listen(address string) (net.Listener, error) {
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
	return nil, fmt.Errorf("cannot listen on %q: %w: give --listen an address of this machine and a port, like 127.0.0.1:8080", address, err)
}
