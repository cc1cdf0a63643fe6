package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet"
	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/webhook"
)

func newCleanCommand() *cobra.Command {
	var data string
	var at urls
	var where fleetSettings
	var yes bool
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Delete all images, results and waiting messages, and end the instances of a fleet (asks first)",
		Long: "Clean deletes all images, results and messages of the service that was run with --data, which must have been stopped,\n" +
			"or of the one behind --queue and --blobs, and ends the instances of --fleet. It says what it will delete and asks first.",
		Args:        noArgs,
		Annotations: map[string]string{flagsOnly: "it deletes, so nothing in the environment may say what"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := newLogger(cmd.ErrOrStderr(), "warn")
			b, err := openToClean(cmd.Context(), data, at, log)
			if err != nil {
				return err
			}
			defer b.close()
			machines, err := fleetToClean(cmd.Context(), where.url)
			if err != nil {
				return err
			}
			return clean(cmd.Context(), b, machines, yes, cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", defaultData, "the data `FOLDER` of the stopped service")
	at.register(f)
	where.register(f)
	f.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// openToClean opens the backends of a stopped `ocelli up`, or those that the URLs name.
func openToClean(ctx context.Context, data string, at urls, log *slog.Logger) (*backends, error) {
	if at != (urls{}) {
		// A folder that is named besides would be passed over without a word.
		if data != defaultData {
			return nil, usageError{errors.New("--data and --queue with --blobs name different services: give one of them")}
		}
		if err := asUsage(at.problems()); err != nil {
			return nil, err
		}
		return openBackends(ctx, at, 0, "clean", log)
	}
	if _, err := os.Stat(filepath.Join(data, "queue")); err != nil {
		return nil, fmt.Errorf("%s holds no data of Ocelli: name the folder with --data", data)
	}
	broker, err := natsembed.Start(ctx, natsembed.Config{Dir: filepath.Join(data, "queue"), Token: rand.Text(), Logger: log})
	if err != nil {
		return nil, err
	}
	b, err := openEmbedded(ctx, broker, data, 0, log)
	if err != nil {
		broker.Shutdown()
		return nil, err
	}
	b.closers = append([]func(){broker.Shutdown}, b.closers...) // after the connection to it
	return b, nil
}

// storedUnder are the prefixes of everything that the service stores.
var storedUnder = []string{
	"input/", "output/", "jobs/", "claims/", "trials/", webhook.Prefix, "quarantine/", "retries/", "doomed/", "janitor/", "usage/", scale.DecisionsPrefix, binaries,
}

// fleetToClean opens the fleet of a URL, or returns nil where none is named.
func fleetToClean(ctx context.Context, text string) (fleet.Launcher, error) {
	if text == "" {
		return nil, nil
	}
	u, err := parseFleet(text)
	if err != nil {
		return nil, err
	}
	s, err := parseEC2(u)
	if err != nil {
		return nil, err
	}
	s.fleet.Endpoint, s.fleet.Region = s.conn.Endpoint, s.conn.Region
	return ec2fleet.Attach(ctx, s.fleet)
}

// clean deletes everything, and ends the workers of machines unless that is nil.
func clean(ctx context.Context, b *backends, machines fleet.Launcher, yes bool, in io.Reader, out io.Writer) error {
	stats, err := b.queue.Stats(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "This deletes for good:\n")
	for _, prefix := range storedUnder {
		n, bytes, err := measure(ctx, b.blobs, prefix)
		if err != nil {
			return err
		}
		if n > 0 {
			fmt.Fprintf(out, "  %-11s %d %s, %s\n", prefix, n, plural(n, "file", "files"), volume(bytes))
		}
	}
	waiting := stats.Backlog()
	fmt.Fprintf(out, "  queue       %d %s without a result\n", waiting, plural(waiting, "image", "images"))
	var names []string
	if machines != nil {
		alive, err := machines.List(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  fleet       %d %s\n", len(alive), plural(len(alive), "instance", "instances"))
		for _, inst := range alive {
			fmt.Fprintf(out, "              %s %s, launched %s\n", inst.ID, inst.Name, inst.Launched.Local().Format(time.DateTime))
			names = append(names, inst.Name)
		}
	}
	if !yes {
		fmt.Fprint(out, "Type yes to go on: ")
		answer, err := bufio.NewReader(in).ReadString('\n')
		if err != nil {
			fmt.Fprintln(out)
		}
		if strings.TrimSpace(answer) != "yes" {
			return errors.New("nothing was deleted")
		}
	}
	// The messages go first: a worker that runs finds nothing to do, and not an image that is missing.
	if err := b.purge(ctx); err != nil {
		return err
	}
	if len(names) > 0 {
		if err := machines.Terminate(ctx, names...); err != nil {
			return err
		}
	}
	for _, prefix := range storedUnder {
		if err := blob.DeleteAll(ctx, b.blobs, prefix); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "Deleted.")
	return nil
}

// volume is a number of bytes for people.
func volume(bytes int64) string {
	switch b := float64(bytes); {
	case b < 1e6:
		return fmt.Sprintf("%.0f kB", math.Ceil(b/1e3))
	case b < 1e9:
		return fmt.Sprintf("%.1f MB", b/1e6)
	default:
		return fmt.Sprintf("%.1f GB", b/1e9)
	}
}

func measure(ctx context.Context, blobs blob.Store, prefix string) (n int, bytes int64, err error) {
	for info, err := range blobs.List(ctx, prefix) {
		if err != nil {
			return 0, 0, err
		}
		n, bytes = n+1, bytes+info.Size
	}
	return n, bytes, nil
}
