package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/ocelli/ocelli/internal/bulk"
)

// liveLine is the last line of a terminal, kept up to date.
type liveLine struct {
	terminal *os.File // nil where there is none, and then nothing is shown
	done     chan struct{}
	showing  sync.WaitGroup

	mu    sync.Mutex
	shown bool
}

const (
	lineEvery = 200 * time.Millisecond
	// lineAfter keeps the line away from what is quickly done.
	lineAfter = time.Second
	// clearLine returns to the beginning of the line and empties it (ECMA-48, EL).
	clearLine = "\r\x1b[K"
)

// showLine shows what line returns until stop is called.
func showLine(w io.Writer, line func() string) *liveLine {
	l := &liveLine{done: make(chan struct{})}
	if isTerminal(w) {
		l.terminal = w.(*os.File)
		l.showing.Go(func() { l.show(line) })
	}
	return l
}

func (l *liveLine) show(line func() string) {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-l.done:
			l.above(func() {})
			return
		case <-tick.C:
			if time.Since(began) < lineAfter {
				continue
			}
			text := fit(line(), l.terminal)
			l.mu.Lock()
			fmt.Fprint(l.terminal, clearLine+text)
			l.shown = true
			l.mu.Unlock()
		}
	}
}

// above lets print write lines, which then stand above the live one.
func (l *liveLine) above(print func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown {
		fmt.Fprint(l.terminal, clearLine)
		l.shown = false
	}
	print()
}

// stop removes the line.
func (l *liveLine) stop() {
	close(l.done)
	l.showing.Wait()
}

// fit cuts a text to the width of a terminal: a line that wraps cannot be taken back.
func fit(text string, terminal *os.File) string {
	width, _, err := term.GetSize(int(terminal.Fd()))
	if runes := []rune(text); err == nil && width > 1 && len(runes) >= width {
		return string(runes[:width-1])
	}
	return text
}

const (
	// manyImages is from how many images on a summary is worth its line.
	manyImages = 10
	// rateSpan is over how long the rate of now is taken.
	rateSpan = 30 * time.Second
)

// bulkProgress tells how far a run over many images is.
type bulkProgress struct {
	counts *bulk.Counts
	began  time.Time

	mu      sync.Mutex
	samples []sample
	trouble error // why the server has to be asked again
}

// sample is how much was done at a time.
type sample struct {
	at   time.Time
	done int64
}

// waits takes up why a request is repeated, and nil when it is not any more.
func (p *bulkProgress) waits(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = err
}

// rate is how many images are done per second, of late.
func (p *bulkProgress) rate(now time.Time, done int64) float64 {
	for len(p.samples) > 1 && now.Sub(p.samples[0].at) > rateSpan {
		p.samples = p.samples[1:]
	}
	p.samples = append(p.samples, sample{now, done})
	first := p.samples[0]
	if took := now.Sub(first.at).Seconds(); took > 0 {
		return float64(done-first.done) / took
	}
	return 0
}

func (p *bulkProgress) line() string { return p.at(time.Now()) }

// at is the line at a time: "1234 of 10000 images, 12 %  123.4/s  1m11s left".
func (p *bulkProgress) at(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	done, skipped, found := p.counts.Done.Load(), p.counts.Skipped.Load(), p.counts.Found.Load()
	rate := p.rate(now, done)
	line := fmt.Sprintf("%d images", done+skipped)
	counted := p.counts.Counted.Load() && found > 0
	if counted {
		line = fmt.Sprintf("%d of %d images, %d %%", done+skipped, found, min(100, 100*(done+skipped)/found))
	}
	line += fmt.Sprintf("  %.1f/s", rate)
	if left := found - done - skipped; counted && left > 0 && rate > 0 {
		line += fmt.Sprintf("  %s left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
	}
	if failed := p.counts.Failed.Load(); failed > 0 {
		line += fmt.Sprintf("  %d failed", failed)
	}
	if p.trouble != nil {
		line += fmt.Sprintf("  trying again: %v", p.trouble)
	}
	return line
}

// summary is what is said at the end.
func (p *bulkProgress) summary() string {
	done, took := p.counts.Done.Load(), time.Since(p.began)
	text := fmt.Sprintf("%d %s in %s (%.1f/s)", done, plural(done, "image", "images"), took.Round(100*time.Millisecond), float64(done)/took.Seconds())
	if skipped := p.counts.Skipped.Load(); skipped > 0 {
		text += fmt.Sprintf("; %d had been done before", skipped)
	}
	return text
}
