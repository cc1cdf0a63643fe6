package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/term"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/bulk"
)

// shown is the output that prints results as they come.
func (o *classifyOptions) shown(out io.Writer, live *liveLine) bulk.Output {
	p := &printed{out: out, live: live, text: (&table{top: o.top, width: 40}).text}
	if format := o.format(); o.asJSON || o.asCSV {
		p.text = func(r ocelli.Result) []byte { return format.Line(r) }
		p.header = format.Header()
	}
	return p
}

// printed prints each result with one write.
type printed struct {
	out    io.Writer
	live   *liveLine
	header []byte
	text   func(ocelli.Result) []byte
}

func (p *printed) Put(_ context.Context, _ bulk.Item, r ocelli.Result) (err error) {
	text := append(p.header, p.text(r)...)
	p.header = nil
	p.live.above(func() { _, err = p.out.Write(text) })
	return err
}

func (p *printed) Close() error { return nil }

// table shows results to people.
type table struct {
	top   int
	width int // of the column of names
}

func (t *table) text(r ocelli.Result) []byte {
	name := printable(r.Name)
	if r.Error != nil {
		// The row has the name already; a server tells only the last part of it.
		what := strings.TrimPrefix(strings.TrimPrefix(r.Error.Message, r.Name+" "), filepath.Base(r.Name)+" ")
		return fmt.Appendf(nil, "%-*s  error:   %s\n", t.width, name, printable(what))
	}
	var text []byte
	for _, label := range r.Labels[:min(t.top, len(r.Labels))] {
		wider := ""
		if len(label.Parents) > 0 {
			wider = "  (" + strings.Join(label.Parents, ", ") + ")"
		}
		text = fmt.Appendf(text, "%-*s  %5.1f %%  %s%s\n", t.width, name, 100*label.Score, label.Name, wider)
		name = ""
	}
	return text
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
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

func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
