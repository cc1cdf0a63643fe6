package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob/s3blob"
	"github.com/ocelli/ocelli/internal/bulk"
	"github.com/ocelli/ocelli/internal/classify"
)

// maxImageBytes is the default limit for one image, on the command line as in the service.
const maxImageBytes = bulk.MaxImageBytes

// classifyOptions are what `ocelli classify` can be told.
type classifyOptions struct {
	model         modelSettings
	server        serverSettings
	patience      time.Duration
	fromFile      string
	watch         string
	asJSON, asCSV bool
	top           int
	out           string
	resume        bool
	sidecar       string
	copyTo        string
	link          bool
}

func newClassifyCommand() *cobra.Command {
	var o classifyOptions
	cmd := &cobra.Command{
		Use:   "classify PATH|URL…",
		Short: "Print the labels of images: files, folders with all that is in them, URLs, buckets; sort them; watch a folder",
		Long: "Classify prints the labels of images. It needs no server: the model runs in this process. With --server the\n" +
			"images are sent there instead. A folder stands for all the images below it, and so does a pattern like 'photos/**/*.jpg' in\n" +
			"quotes, and s3://BUCKET/FOLDER; other files are passed over. \"-\" is one image from standard input.\n\n" +
			"With --out the results go to a file, one line each, and a run that was broken off goes on where it was by --resume: images\n" +
			"whose results are there are passed over. The exit code is 3 where some images failed.",
		Example: "  ocelli classify dog.jpg\n  ocelli classify ~/Pictures --out labels.ndjson --resume\n" +
			"  ocelli classify ~/Pictures --copy-to 'sorted/{label}/'\n  find / -name '*.jpg' -print0 | ocelli classify --from-file - --csv\n" +
			"  ocelli classify --watch /srv/inbox --sidecar --server http://ocelli.example:8080",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && o.fromFile == "" && o.watch == "" {
				return usageError{errors.New("name at least one image or folder: ocelli classify PATH…")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asUsage(o.problems(args)); err != nil {
				return err
			}
			return o.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.register(cmd.Flags())
	return cmd
}

func (o *classifyOptions) register(f *pflag.FlagSet) {
	f.StringVar(&o.server.url, "server", "", "send the images to the service at this `URL`")
	o.server.registerKey(f)
	f.DurationVar(&o.patience, "patience", 5*time.Minute, "how long to try again where the service is out of reach")
	o.model.register(f)
	f.StringVar(&o.fromFile, "from-file", "", "read names of images from this `FILE`, \"-\" for standard input: one per line, or ended by zero bytes")
	f.StringVar(&o.watch, "watch", "", "after all else, classify what comes into this `FOLDER` until stopped")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON result per line")
	f.BoolVar(&o.asCSV, "csv", false, "print a table in CSV")
	f.IntVar(&o.top, "top", 1, "labels to show for each image in the table")
	f.StringVar(&o.out, "out", "", "write the results to this `FILE`, as CSV where it ends in .csv and else as one JSON result per line")
	f.BoolVar(&o.resume, "resume", false, "pass over images that have their results in the file of --out or in sidecars, and add to it")
	f.StringVar(&o.sidecar, "sidecar", "", "write the result of photo.jpg to photo.jpg.json, or another `ENDING`")
	f.Lookup("sidecar").NoOptDefVal = ".json"
	f.StringVar(&o.copyTo, "copy-to", "", "copy each image to a place by its label, like 'sorted/{label}/' or 'sorted/{parent}/{label}/{score}-{name}{ext}'")
	f.BoolVar(&o.link, "link", false, "make hard links in place of copies, where that is possible")
}

// problems are what is wrong with the options, before anything is looked at.
func (o *classifyOptions) problems(args []string) []error {
	var errs []error
	problem := func(is bool, format string, values ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, values...))
		}
	}
	problem(o.top < 1 || o.top > 100, "--top=%d is not possible: give 1 to 100", o.top)
	problem(o.asJSON && o.asCSV, "--json and --csv are two formats: give one of them")
	problem(o.resume && o.out == "" && o.sidecar == "", "--resume needs --out or --sidecar, which tell what has been done")
	problem(strings.ContainsRune(o.sidecar, '/') || o.sidecar != "" && o.sidecar[0] != '.', "--sidecar=%s is no ending: write it like --sidecar=.json", o.sidecar)
	problem(o.link && o.copyTo == "", "--link says how --copy-to copies, and that is not given")
	stdin := 0
	for _, arg := range append([]string{o.fromFile}, args...) {
		if arg == "-" {
			stdin++
		}
	}
	problem(stdin > 1, "standard input can be read once only: give one \"-\"")
	return errs
}

// run classifies what the arguments name.
func (o *classifyOptions) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	for _, arg := range args {
		if err := named(arg); err != nil {
			return err
		}
	}
	counts := new(bulk.Counts)
	finder := &bulk.Finder{Counts: counts}
	finder.Buckets = (&buckets{finder: finder, open: map[string]*s3blob.Store{}}).find
	progress := &bulkProgress{counts: counts, began: time.Now()}
	run := &bulk.Run{Counts: counts}
	// A file of results is made when everything else that can be wrong is right.
	var err error
	if run.Items, err = o.items(finder, args, stdin); err != nil {
		return err
	}
	if o.watch != "" {
		if run.Coming, err = finder.Watch(o.watch); err != nil {
			return err
		}
	}
	engine, closeEngine, err := o.engine(ctx, progress, newLogger(stderr, "warn"))
	if err != nil {
		return err
	}
	defer closeEngine()
	run.Engine = engine
	if run.Outputs, run.Skip, err = o.outputs(finder, args); err != nil {
		return err
	}

	if isTerminal(stderr) && o.fromFile == "" {
		go finder.Count(ctx, args) // for the time that is left; it ends with the process
	}
	live := showLine(stderr, progress.line)
	if o.out == "" {
		run.Outputs = append(run.Outputs, o.shown(stdout, live))
	}
	run.Problem = func(err error) { live.above(func() { fmt.Fprintf(stderr, "ocelli: %v\n", err) }) }
	err = run.Do(ctx)
	live.stop()
	return o.end(err, counts, progress, stderr)
}

// named returns an error where nothing has a name that was given, before work begins.
func named(arg string) error {
	if arg == "-" || bulk.IsURL(arg) || bulk.IsBucket(arg) || bulk.IsPattern(arg) {
		return nil
	}
	if _, err := os.Stat(arg); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file or folder %s", arg)
	} else if err != nil {
		return err
	}
	return nil
}

// items are all images that are there, in the order in which they are asked for.
func (o *classifyOptions) items(finder *bulk.Finder, args []string, stdin io.Reader) (bulk.Source, error) {
	list := stdin
	if o.fromFile != "" && o.fromFile != "-" {
		file, err := os.Open(o.fromFile)
		if err != nil {
			return nil, fmt.Errorf("the list of images: %w", err)
		}
		list = file
	}
	return func(ctx context.Context) bulk.Items {
		var sources []bulk.Items
		for _, arg := range args {
			if arg == "-" {
				sources = append(sources, bulk.One(finder.Input("-", stdin)))
				continue
			}
			sources = append(sources, finder.Named(ctx, arg))
		}
		if o.fromFile != "" {
			sources = append(sources, finder.List(ctx, list))
		}
		return bulk.Join(sources...)
	}, nil
}

// outputs are what the results are kept in, in the order in which a run that is killed can go on: what tells that an image is done comes
// after its copy, and the file of results last. done tells what an earlier run has done.
func (o *classifyOptions) outputs(finder *bulk.Finder, args []string) (outs []bulk.Output, done func(bulk.Item) bool, err error) {
	if o.copyTo != "" {
		sorter, err := bulk.NewSorter(o.copyTo, o.link)
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("--copy-to=%s: %w", o.copyTo, err)}
		}
		if err := apart(sorter.Dir(), append(args, o.watch)); err != nil {
			return nil, nil, usageError{errors.Join(err, sorter.Close())}
		}
		finder.Without = sorter.Dir()
		outs = append(outs, sorter)
	}
	if o.sidecar != "" {
		sidecar := bulk.Sidecar{Suffix: o.sidecar}
		outs = append(outs, sidecar)
		if o.resume {
			done = func(item bulk.Item) bool {
				done, failed := sidecar.Has(item)
				if failed {
					finder.Counts.Failed.Add(1)
				}
				return done
			}
		}
	}
	if o.out == "" {
		return outs, done, nil
	}
	format := o.format()
	if !o.resume {
		file, err := bulk.Create(o.out, format)
		return append(outs, file), done, err
	}
	var known bulk.Done
	file, err := bulk.Resume(o.out, format, known.Add)
	finder.Counts.Failed.Store(int64(known.Failed()))
	return append(outs, file), known.Has, err
}

func (o *classifyOptions) format() bulk.Format {
	switch {
	case o.asCSV:
		return bulk.CSV{}
	case o.asJSON:
		return bulk.NDJSON{}
	}
	if format := bulk.FormatOf(o.out); format != nil {
		return format
	}
	return bulk.NDJSON{}
}

// apart refuses a folder for copies in which images are looked for: each copy would be found.
func apart(copies string, sources []string) error {
	copies, err := filepath.Abs(copies)
	if err != nil {
		return err
	}
	for _, source := range sources {
		abs, err := filepath.Abs(source)
		if err != nil || source == "" || bulk.IsURL(source) || bulk.IsBucket(source) {
			continue
		}
		if rel, err := filepath.Rel(copies, abs); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return fmt.Errorf("the copies below %s would land among the images of %s: name another folder", copies, source)
		}
	}
	return nil
}

// engine is what classifies, here or at the server.
func (o *classifyOptions) engine(ctx context.Context, progress *bulkProgress, log *slog.Logger) (bulk.Engine, func(), error) {
	if o.server.url != "" {
		c, err := o.server.client()
		if err != nil {
			return nil, nil, err
		}
		// A service that is not there at all is told at once and not waited for.
		if _, err := c.Status(ctx); err != nil && ocelli.AsError(err) == nil {
			return nil, nil, err
		}
		there := &bulk.There{Client: c, Patience: o.patience, Waiting: progress.waits}
		return there.Run, func() {}, nil
	}
	classifier, err := openClassifier(o.model, max(o.top, classify.DefaultTop), log)
	if err != nil {
		return nil, nil, err
	}
	return bulk.Here(classifier, runtime.NumCPU()), func() { classifier.Close() }, nil
}

// end turns the end of a run into that of the command.
func (o *classifyOptions) end(err error, counts *bulk.Counts, progress *bulkProgress, stderr io.Writer) error {
	if done := counts.Done.Load(); o.out != "" || isTerminal(stderr) && done >= manyImages {
		fmt.Fprintln(stderr, progress.summary())
	}
	failed := counts.Failed.Load()
	switch {
	case errors.Is(err, bulk.ErrStopped) && o.watch != "":
	case errors.Is(err, bulk.ErrStopped) && o.out != "" && !o.resume:
		return fmt.Errorf("%w: the same command with --resume goes on", err)
	case errors.Is(err, bulk.ErrMissing):
		return errTold
	case err != nil:
		return err
	}
	if failed > 0 {
		fmt.Fprintf(stderr, "ocelli: %d %s\n", failed, plural(failed, "image failed", "images failed"))
		return errSomeFailed
	}
	return nil
}
