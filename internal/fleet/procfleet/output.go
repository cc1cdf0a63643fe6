package procfleet

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
)

const (
	// lineMax bounds a relayed line, in bytes; the rest of a longer one is dropped.
	lineMax = 4096
	// lastMax bounds what is kept of the last line, in bytes.
	lastMax = 300
)

// output is where the lines of all workers go, one Write each.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// line writes one line. An error is not the worker's: its own output must go on flowing.
func (o *output) line(name, text string) {
	if o.w == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if strings.HasPrefix(text, "{") { // a log of JSON stays one
		_, _ = io.WriteString(o.w, text+"\n")
		return
	}
	_, _ = io.WriteString(o.w, name+" | "+text+"\n")
}

// lineWriter cuts one worker's output into lines. One goroutine writes to it.
type lineWriter struct {
	to   *output
	name string
	line []byte // of the line not ended yet, at most lineMax bytes
	cut  bool   // the line was longer
	last string // what stands for the output: the last line that was not empty, or that of a crash
	died bool   // last is the line of a crash; the stack that follows says less
}

// crashes begin the line in which the Go runtime says what it died of
var crashes = []string{"panic: ", "fatal error: ", "SIGSEGV: ", "SIGABRT: ", "SIGBUS: ", "SIGFPE: ", "SIGILL: "}

// Write never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		text, rest, ended := bytes.Cut(p, []byte{'\n'})
		room := min(lineMax-len(w.line), len(text))
		w.line = append(w.line, text[:room]...)
		w.cut = w.cut || room < len(text)
		if ended {
			w.flush()
		}
		p = rest
	}
	return n, nil
}

// flush passes on what there is of a line.
func (w *lineWriter) flush() {
	text := printable(string(w.line))
	if w.cut {
		text += " … (cut)"
	}
	w.line, w.cut = w.line[:0], false
	if text == "" {
		return
	}
	w.to.line(w.name, text)
	if !w.died {
		w.last = strings.ToValidUTF8(text[:min(len(text), lastMax)], "")
		w.died = slices.ContainsFunc(crashes, func(c string) bool { return strings.HasPrefix(text, c) })
	}
}

// printable replaces what could play tricks on a terminal: names of files that strangers sent may stand in a line.
func printable(s string) string {
	s = strings.ToValidUTF8(strings.TrimRight(s, "\r"), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return '\uFFFD'
		}
		return r
	}, s)
}
