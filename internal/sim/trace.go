package sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of a trace file.
const (
	traceRows = 50_000_000
	traceLine = 1 << 20 // bytes
	traceStep = 0.1     // seconds; invocations within a step are one batch
	traceSpan = 366 * 86400.0
)

// ReadTrace reads a load from a trace of one of two kinds, which it tells apart by the first line:
//
//   - the Azure Functions invocation trace of 2021, lines of app,func,end_timestamp,duration in seconds
//     (https://github.com/Azure/AzurePublicDataset, AzureFunctionsInvocationTrace2021.md). Each
//     invocation is one image, which arrives when the invocation began; its duration is not used, as
//     images are all alike and take what Config.Rate says.
//   - the decision log of this service, lines of JSON ([scale.Decision]). Only decisions that changed something
//     are in it: images arrive evenly between two of them where a stream flowed, and else in the second before
//     the later one, which they brought about.
func ReadTrace(name string, r io.Reader) (Load, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), traceLine)
	var read func(line []byte) error
	var batches func() []Batch
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if n > traceRows {
			return Load{}, fmt.Errorf("%s has more than %d lines: cut it", name, traceRows)
		}
		if read == nil {
			if line[0] == '{' {
				l := &decisionLog{}
				read, batches = l.read, func() []Batch { return l.batches }
			} else {
				t := azureTrace{}
				read, batches = t.read, t.list
			}
		}
		if err := read(line); err != nil {
			return Load{}, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Load{}, fmt.Errorf("reading %s: %w", name, err)
	}
	if batches == nil {
		return Load{}, fmt.Errorf("%s is empty", name)
	}
	return loadOf(name, batches())
}

// azureTrace counts the invocations that began in each step.
type azureTrace map[int64]int64

func (t azureTrace) read(line []byte) error {
	fields := strings.Split(string(line), ",")
	if len(fields) != 4 {
		return fmt.Errorf("%d fields where app,func,end_timestamp,duration are expected", len(fields))
	}
	if fields[2] == "end_timestamp" {
		return nil
	}
	end, err := strconv.ParseFloat(fields[2], 64)
	if err != nil {
		return fmt.Errorf("the end_timestamp %q is not a number", fields[2])
	}
	length, err := strconv.ParseFloat(fields[3], 64)
	if err != nil {
		return fmt.Errorf("the duration %q is not a number", fields[3])
	}
	begin := end - length
	if !(math.Abs(begin) <= traceSpan) {
		return fmt.Errorf("an invocation that began at %v s is not within a year", begin)
	}
	t[int64(math.Floor(begin/traceStep))]++
	return nil
}

func (t azureTrace) list() []Batch {
	batches := make([]Batch, 0, len(t))
	for step, n := range t {
		batches = append(batches, Batch{At: float64(step) * traceStep, Over: traceStep, Count: n})
	}
	return batches
}

// decisionLog takes the arrivals from the totals of one decision after the other.
type decisionLog struct {
	batches []Batch
	before  *logged
	first   time.Time
}

// logged is what replaying needs of a decision.
type logged struct {
	Seen struct {
		Now     time.Time `json:"now"`
		Arrived int64     `json:"arrived"`
		Ready   int64     `json:"ready"`
		Leased  int64     `json:"leased"`
		Arrival float64   `json:"arrival_per_s"`
	} `json:"seen"`
}

func (l *decisionLog) read(line []byte) error {
	var d logged
	if err := json.Unmarshal(line, &d); err != nil {
		return fmt.Errorf("no decision: %w", err)
	}
	if d.Seen.Now.IsZero() {
		return fmt.Errorf("a decision without the time at which it was made (seen.now)")
	}
	if l.before == nil {
		l.before, l.first = &d, d.Seen.Now
		if n := max(0, d.Seen.Ready) + max(0, d.Seen.Leased); n > 0 {
			l.batches = append(l.batches, Batch{Count: n})
		}
		return nil
	}
	from := l.before.Seen.Now
	over, n := d.Seen.Now.Sub(from).Seconds(), d.Seen.Arrived-l.before.Seen.Arrived
	if n < 0 { // the queue was made anew and counts from 0
		n = max(0, d.Seen.Arrived)
	}
	if over < 0 || d.Seen.Now.Sub(l.first).Seconds() > traceSpan {
		return fmt.Errorf("the decision of %s is out of order or more than a year after the first", d.Seen.Now.Format(time.RFC3339))
	}
	begin := from.Sub(l.first).Seconds()
	if over > 1 && l.before.Seen.Arrival == 0 && d.Seen.Arrival == 0 {
		begin, over = begin+over-1, 1
	}
	if n > 0 {
		l.batches = append(l.batches, Batch{At: begin, Over: over, Count: n})
	}
	l.before = &d
	return nil
}
