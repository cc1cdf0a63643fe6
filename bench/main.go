// Bench measures the service against what the machine can do, and writes bench/RESULTS.md and bench/RESULTS.json.
//
//	make bench                      all parts
//	go run ./bench -only limit      one or some: limit, jobs, overhead, start, decode, growth, reference
//
// What is compared is measured in turns in one run, since machines change their pace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// bench is one run.
type bench struct {
	binary    string
	out       string  // the folder of the results
	dir       string  // for data
	photoDir  string  // "" for painted pictures
	quick     string  // an int8 model for the part jobs, or ""
	reference string  // the folder of the reference system, or ""
	rounds    int     // of each comparison
	seconds   float64 // of each measurement
	most      int     // images of the part growth

	filled  bool // the memory, see fillMemory
	tables  []*table
	results map[string]float64
}

// parts in the order of the report.
var parts = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"limit", (*bench).serviceOverLimit},
	{"jobs", (*bench).jobs},
	{"overhead", (*bench).overhead},
	{"start", (*bench).starts},
	{"decode", (*bench).decoders},
	{"growth", (*bench).growth},
	{"reference", (*bench).againstReference},
}

func main() {
	b := &bench{results: map[string]float64{}}
	var only string
	flag.StringVar(&b.binary, "binary", "bin/ocelli", "the binary to measure")
	flag.StringVar(&b.out, "out", "bench", "folder of the results")
	flag.StringVar(&b.photoDir, "photos", os.Getenv("PHOTOS"), "folder of JPEG files of about 500 × 375 (default: painted pictures)")
	flag.StringVar(&b.quick, "quick", os.Getenv("QUICK_MODEL"), "an int8 classifier with its card beside it, for the part jobs")
	flag.StringVar(&b.reference, "reference", os.Getenv("REFERENCE"), "folder of the reference system's design with its run.sh")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of each comparison")
	flag.Float64Var(&b.seconds, "seconds", 6, "length of each measurement")
	flag.IntVar(&b.most, "images", 100_000, "images of the largest step of the part growth")
	flag.StringVar(&only, "only", "", "parts to run, with commas between")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, strings.FieldsFunc(only, func(r rune) bool { return r == ',' })); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only []string) (err error) {
	for _, name := range only {
		if !slices.ContainsFunc(parts, func(p struct {
			name string
			run  func(*bench, context.Context) error
		}) bool {
			return p.name == name
		}) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if _, err := exec.LookPath(b.binary); err != nil {
		return fmt.Errorf("%s cannot be run: run `make build` first (%w)", b.binary, err)
	}
	if b.dir, err = os.MkdirTemp("", "ocelli-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, part := range parts {
		if len(only) > 0 && !slices.Contains(only, part.name) {
			continue
		}
		before := len(b.tables)
		if err := part.run(b, ctx); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", part.name, err), ctx.Err())
		}
		for _, t := range b.tables[before:] {
			fmt.Println(t.markdown())
		}
	}
	return b.write()
}
