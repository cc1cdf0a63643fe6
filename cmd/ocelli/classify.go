package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
)

// maxImageBytes is the default limit for one image, on the command line as in the service.
const maxImageBytes = 32 << 20

func newClassifyCommand() *cobra.Command {
	var o struct {
		model  modelSettings
		server string
		asJSON bool
		top    int
	}
	cmd := &cobra.Command{
		Use:   "classify PATH…",
		Short: "Print the labels of images: files, and folders with all that is in them",
		Long: "Classify prints the labels of images. It needs no server: the model runs in this process. With --server the\n" +
			"images are sent there instead. A folder stands for all the images below it; other files in it are passed over.\n" +
			"The exit code is 3 where some images failed.",
		Example: "  ocelli classify dog.jpg\n  ocelli classify ~/Pictures --json > labels.ndjson",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("name at least one image or folder: ocelli classify PATH…")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.top < 1 || o.top > 100 {
				return usageError{fmt.Errorf("--top=%d is not possible: give 1 to 100", o.top)}
			}
			paths, err := imagePaths(args)
			if err != nil {
				return err
			}
			show := newReport(cmd.OutOrStdout(), cmd.ErrOrStderr(), len(paths), o.asJSON, o.top)
			if o.server != "" {
				return remote(cmd.Context(), o.server, paths, show)
			}
			classifier, err := openClassifier(o.model, max(o.top, classify.DefaultTop), newLogger(cmd.ErrOrStderr(), "warn"))
			if err != nil {
				return err
			}
			defer classifier.Close()
			return local(cmd.Context(), classifier, paths, show)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "send the images to the service at this `URL`")
	o.model.register(f)
	f.BoolVar(&o.asJSON, "json", false, "print one JSON result per line")
	f.IntVar(&o.top, "top", 1, "labels to show for each image in the table")
	return cmd
}

// local classifies the files in this process, on all cores, and shows the results in the order of paths.
func local(ctx context.Context, classifier classify.Classifier, paths []string, show *report) error {
	decoder := decode.New(decode.Limits{})
	// The model must not be closed while an image is in it.
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// One future for each image in hand, in order: the images run side by side and are shown one after another.
	futures := make(chan chan ocelli.Result, runtime.NumCPU())
	working.Go(func() {
		defer close(futures)
		for _, path := range paths {
			future := make(chan ocelli.Result, 1)
			select {
			case futures <- future:
			case <-ctx.Done():
				return
			}
			working.Go(func() { future <- classifyFile(ctx, decoder, classifier, path) })
		}
	})
	for future := range futures {
		if err := show.result(<-future); err != nil {
			return err
		}
	}
	return errors.Join(ctx.Err(), show.end())
}

// classifyFile is the path of an image without the service around it.
func classifyFile(ctx context.Context, decoder *decode.Decoder, classifier classify.Classifier, path string) ocelli.Result {
	model := classifier.Model()
	res := ocelli.Result{Name: path, Labels: []ocelli.Label{}, Attempt: 1, Worker: "here"}
	fail := func(err error) ocelli.Result {
		if res.Error = ocelli.AsError(err); res.Error == nil {
			res.Error = ocelli.Errorf(ocelli.Unavailable, "%v", err)
		} else {
			res.Error = ocelli.Errorf(res.Error.Code, "%s %s", path, res.Error.Message)
		}
		return res
	}
	began := time.Now()
	data, err := readImage(path)
	res.Timings.Fetch = since(began)
	if err != nil {
		return fail(err)
	}
	began = time.Now()
	picture, err := decoder.Decode(ctx, data, classifier.ShortSide())
	res.Timings.Decode = since(began)
	if err != nil {
		return fail(err)
	}
	res.Width, res.Height = picture.FullWidth, picture.FullHeight
	began = time.Now()
	labels, err := classifier.Classify(ctx, picture.Pixels)
	res.Timings.Infer = since(began)
	if err != nil {
		return fail(err)
	}
	res.Labels, res.Model = labels[0], &model
	return res
}

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1000 }

// readImage reads a file that is not larger than an image may be.
func readImage(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImageBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxImageBytes {
		return nil, ocelli.Errorf(ocelli.TooLarge, "is larger than %d MB, the limit for one image", maxImageBytes>>20)
	}
	return data, nil
}

// readable returns nil for a file that can be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	return err
}

// remote sends the files to a server as one job and shows the results as they come.
func remote(ctx context.Context, server string, paths []string, show *report) error {
	c, err := client.New(server)
	if err != nil {
		return usageError{err}
	}
	// What cannot be read here is shown as failed, and the rest is sent.
	var sent []string
	for _, path := range paths {
		if err := readable(path); err != nil {
			res := ocelli.Result{Name: path, Labels: []ocelli.Label{}, Error: ocelli.Errorf(ocelli.Unavailable, "%v", err)}
			if err := show.result(res); err != nil {
				return err
			}
			continue
		}
		sent = append(sent, path)
	}
	if paths = sent; len(paths) == 0 {
		return show.end()
	}
	files := func(yield func(client.File) bool) {
		for _, path := range paths {
			open := func() (io.ReadCloser, error) { return os.Open(path) }
			if !yield(client.File{Name: path, Open: open}) {
				return
			}
		}
	}
	job, err := c.Submit(ctx, files, 0)
	if err != nil {
		return err
	}
	// The server gives back names without folders; the place of an image tells which file it was.
	waiting := map[int]ocelli.Result{}
	shown := 0
	for r, err := range c.Watch(ctx, job.ID) {
		if err != nil {
			return err
		}
		_, place, ok := r.Image.Split()
		if !ok || place > len(paths) {
			return fmt.Errorf("the server answered an image %q that was not sent", r.Image)
		}
		r.Name = paths[place-1]
		waiting[place-1] = r
		for next, here := waiting[shown]; here; next, here = waiting[shown] {
			delete(waiting, shown)
			shown++
			if err := show.result(next); err != nil {
				return err
			}
		}
	}
	return show.end()
}
