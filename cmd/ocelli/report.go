package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/ocelli/ocelli"
)

// report shows results as they come: a table for people or a line of JSON for each, with a progress bar on a terminal when
// there are many.
type report struct {
	out    io.Writer
	errs   io.Writer
	asJSON bool
	top    int
	width  int // of the column of names
	bar    *progressbar.ProgressBar
	failed int
}

// manyImages is from how many images on a progress bar is worth its line.
const manyImages = 10

func newReport(out, errs io.Writer, total int, asJSON bool, top int) *report {
	r := &report{out: out, errs: errs, asJSON: asJSON, top: top, width: 40}
	if total >= manyImages && isTerminal(errs) {
		r.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(errs), progressbar.OptionShowCount(),
			progressbar.OptionShowIts(), progressbar.OptionSetItsString("images"), progressbar.OptionSetDescription("classifying"),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
	}
	return r
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (r *report) result(res ocelli.Result) error {
	if res.Error != nil {
		r.failed++
	}
	if r.bar != nil {
		// The bar is decoration, so its errors are passed over. It makes room for the line and comes back below it.
		_ = r.bar.Clear()
		defer func() { _ = r.bar.Add(1) }()
	}
	if r.asJSON {
		return json.NewEncoder(r.out).Encode(res)
	}
	name := printable(res.Name)
	if res.Error != nil {
		_, err := fmt.Fprintf(r.out, "%-*s  error:   %s\n", r.width, name, printable(strings.TrimPrefix(res.Error.Message, res.Name+" ")))
		return err
	}
	for _, label := range res.Labels[:min(r.top, len(res.Labels))] {
		wider := ""
		if len(label.Parents) > 0 {
			wider = "  (" + strings.Join(label.Parents, ", ") + ")"
		}
		if _, err := fmt.Fprintf(r.out, "%-*s  %5.1f %%  %s%s\n", r.width, name, 100*label.Score, label.Name, wider); err != nil {
			return err
		}
		name = ""
	}
	return nil
}

// printable keeps the name of a file from moving the cursor or colouring the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

func (r *report) end() error {
	if r.bar != nil {
		_ = r.bar.Finish()
	}
	if r.failed > 0 {
		fmt.Fprintf(r.errs, "ocelli: %d %s\n", r.failed, plural(r.failed, "image failed", "images failed"))
		return errSomeFailed
	}
	return nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
