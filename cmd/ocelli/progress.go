package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// showLine keeps one line of a terminal up to date until stop is called, which removes it. Where w is no terminal nothing is shown.
func showLine(w io.Writer, line func() string) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(w) {
		return func() {}
	}
	done := make(chan struct{})
	var showing sync.WaitGroup
	showing.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(f, clearLine)
				return
			case <-tick.C:
				fmt.Fprint(f, clearLine+fit(line(), f))
			}
		}
	})
	return func() { close(done); showing.Wait() }
}

// clearLine returns to the beginning of the line and empties it (ECMA-48, EL).
const clearLine = "\r\x1b[K"

// fit cuts a text to the width of a terminal: a line that wraps cannot be taken back.
func fit(text string, terminal *os.File) string {
	width, _, err := term.GetSize(int(terminal.Fd()))
	if runes := []rune(text); err == nil && width > 1 && len(runes) >= width {
		return string(runes[:width-1])
	}
	return text
}
