package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// table is one part of the report.
type table struct {
	title, says string
	head        []string
	rows        [][]string
}

func (b *bench) table(title, says string, head ...string) *table {
	t := &table{title: title, says: says, head: head}
	b.tables = append(b.tables, t)
	return t
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// result enters a number under one of the keys of RESULTS.json.
func (b *bench) result(key string, value float64) { b.results[key] = value }

// say tells how it goes.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// spread is the median with the least and the greatest.
func spread(v []float64, format string) string {
	if len(v) == 0 {
		return "–"
	}
	if len(v) == 1 {
		return fmt.Sprintf(format, v[0])
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", median(v), slices.Min(v), slices.Max(v))
}

// percentile of durations in milliseconds.
func percentile(v []time.Duration, p float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return float64(s[min(len(s)-1, int(p*float64(len(s))))].Microseconds()) / 1000
}

// markdown is a table as people read it in a file and in a terminal.
func (t *table) markdown() string {
	widths := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(cells []string) string {
		var b strings.Builder
		for i, cell := range cells {
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", widths[i]-len([]rune(cell))))
		}
		return b.String() + "|\n"
	}
	rule := make([]string, len(widths))
	for i, w := range widths {
		rule[i] = strings.Repeat("-", w)
	}
	out := "## " + t.title + "\n\n" + t.says + "\n\n" + line(t.head) + line(rule)
	for _, row := range t.rows {
		out += line(row)
	}
	return out + "\n"
}

// write writes RESULTS.md and RESULTS.json. What was not measured in this run stays in the latter as it was.
func (b *bench) write() error {
	var text strings.Builder
	fmt.Fprintf(&text, "# Results\n\nMade by `make bench` on %s: %s, %d cores, %s, commit %s. Each figure is the median of %d rounds with the least and the greatest "+
		"in brackets; what is compared ran in turns on the same machine, whose memory was full of a file before, as it is where a machine has been up for long. Ratios travel from machine to machine, times do not. What led here is in [NOTES.md](NOTES.md).\n\n",
		time.Now().UTC().Format(time.DateOnly), processor(), runtime.NumCPU(), kernel(), commit(), b.rounds)
	for _, t := range b.tables {
		text.WriteString(t.markdown())
	}
	if err := os.WriteFile(filepath.Join(b.out, "RESULTS.md"), []byte(strings.TrimSpace(text.String())+"\n"), 0o644); err != nil {
		return err
	}
	path := filepath.Join(b.out, "RESULTS.json")
	all := map[string]float64{}
	if old, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(old, &all); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
	}
	for key, v := range b.results {
		all[key] = float64(int64(v*1000+0.5)) / 1000
	}
	body, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(body, '\n'), 0o644)
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ":\t ")
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	parts := strings.SplitN(string(text), ".", 3) // what follows is the distributor's
	return "Linux " + strings.Join(parts[:min(2, len(parts))], ".")
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
