package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/ortlib"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	defaultListen = "127.0.0.1:8080"
	defaultData   = "ocelli-data"
)

// upSettings are what `ocelli up` can be told, beyond what every web node can.
type upSettings struct {
	shared     sharedSettings
	node       nodeSettings
	worker     workerSettings
	scaling    scalingSettings
	data       string
	storeBytes size
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
			return up(cmd.Context(), s, s.shared.logger(cmd.ErrOrStderr()), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	s.shared.register(f)
	s.node.register(f)
	s.worker.register(f)
	s.scaling.register(f)
	f.StringVar(&s.data, "data", defaultData, "keep images, results and the queue in this `FOLDER`")
	f.Var(&s.storeBytes, "queue-bytes", "disk space that the queue may take")
	return cmd
}

// validate tells everything that is wrong with the settings at once.
func (s *upSettings) validate() error {
	errs := append(append(s.shared.problems(), s.node.problems()...), s.worker.problems()...)
	return asUsage(append(errs, s.scaling.problems()...))
}

// up runs the whole service until ctx ends, then lets the workers finish what they hold.
func up(ctx context.Context, s upSettings, log *slog.Logger, out io.Writer) error {
	tune(nodeMemory)
	// The address is taken first: where it cannot be had, nothing else has happened yet.
	listener, err := listen(s.node.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	var model ocelli.Model
	if model, s.worker.only, err = identify(s.worker.modelSettings); err != nil {
		return err
	}
	if _, err := ortlib.Find(""); err != nil {
		return err // no worker could start
	}
	data, err := filepath.Abs(s.data)
	if err != nil {
		return err
	}

	front, err := s.node.door.tls.wrap(listener, filepath.Join(data, "acme"), log)
	if err != nil {
		return err
	}
	seed, worker, err := newWorkerKey(streamName)
	if err != nil {
		return err
	}
	broker, err := natsembed.Start(ctx, natsembed.Config{
		Dir: filepath.Join(data, "queue"), Token: rand.Text(), Workers: worker, MaxStore: int64(s.storeBytes), Logger: log,
	})
	if err != nil {
		return err
	}
	defer broker.Shutdown()
	b, err := openEmbedded(ctx, broker, data, s.shared.lease, log)
	if err != nil {
		return err
	}
	defer b.close()

	at := urls{queue: broker.ClientURL(), blobs: (&url.URL{Scheme: "file", Path: data}).String()}
	h, err := openLocalFleet(s.shared, s.scaling, s.worker, at, natsSeedEnv+"="+seed, natsTokenEnv+"=", "OCELLI_NATS_CREDS=")
	if err != nil {
		return err
	}
	// The folder of the queue is locked for this process, so there is no other controller.
	c := newController(scale.Alone{}, h, b, log)
	n, err := newNode(ctx, s.shared, s.node, listener.Addr(), data, b, c.roster, &model, log)
	if err != nil {
		return err
	}
	n.intake.Alone = true
	n.keep(c)
	tracer, closeTracer, err := openTracer(ctx, "web", log)
	if err != nil {
		return err
	}
	defer closeTracer()
	n.trace(tracer)
	n.networks.settings = append(n.networks.settings, s.worker.modelSettings)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.run(ctx) })
	group.Go(func() error { return n.run(ctx, front) })
	group.Go(func() error { return broker.Run(ctx) })
	group.Go(func() error { return restWhenIdle(ctx, func() bool { return len(c.crew.Snapshot().Workers) == 0 }) })
	group.Go(func() error { return serveProfiles(ctx, s.node.debug, log) })
	greet(out, s.node.door.tls.scheme(), listener.Addr(), n.door.guard != nil, data)
	group.Go(func() error {
		<-ctx.Done()
		fmt.Fprintln(out, "\nStopping: workers finish what they have in hand.")
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	sayWhatWaits(out, b.queue)
	return nil
}

// sayWhatWaits tells what the next start will find. Where that is not known nothing is said.
func sayWhatWaits(out io.Writer, q queue.Queue) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	stats, err := q.Stats(ctx)
	switch n := stats.Backlog(); {
	case err != nil:
	case n == 0:
		fmt.Fprintln(out, "Ocelli is down. No image waits.")
	case n == 1:
		fmt.Fprintln(out, "Ocelli is down. One image waits for the next start.")
	default:
		fmt.Fprintf(out, "Ocelli is down. %d images wait for the next start.\n", n)
	}
}

// greet says where the service is and what to try.
func greet(out io.Writer, scheme string, addr net.Addr, needsKey bool, data string) {
	if addr.Network() == "unix" {
		fmt.Fprintf(out, "Ocelli is up at unix:%s, for a reverse proxy (deploy/nginx)\n\nImages, results and the queue are kept in %s.\n", addr, data)
		return
	}
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	base := scheme + "://" + net.JoinHostPort(host, port)
	key, note := "", ""
	if needsKey {
		key, note = `-H "Authorization: Bearer $OCELLI_KEY" `, "\nCallers need a key: "+os.Args[0]+" keys create --data "+data
	}
	fmt.Fprintf(out, `Ocelli is up at %s

  open it         and drop in photos
  or              curl %s-F image=@photo.jpg '%s/v1/jobs?wait=60s'
  one image       curl %s--data-binary @photo.jpg %s/v1/classify
  what goes on    %s status --server %s

Images, results and the queue are kept in %s. Ctrl-C stops the service; what waits goes on at the next start.%s
`, base, key, base, key, base, os.Args[0], base, data, note)
}
