package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// line is what faults of one kind led to.
type line struct {
	kind          string
	services      []string
	times, void   int
	accepted      int // images accepted from the beginning of such a fault to the beginning of the next
	twice         int
	lost, mixedUp int
	back          []time.Duration
}

// report prints the table of faults and outcomes, and the line of the sum. Its error says that images were lost or mixed up.
func report(services []*service, m *machine, out io.Writer) error {
	lines := map[string]*line{}
	at := func(kind string) *line {
		if lines[kind] == nil {
			lines[kind] = &line{kind: kind}
		}
		return lines[kind]
	}
	var jobs, images, again, refused, broken, disowned int
	var wrong []string
	for _, s := range services {
		twice, err := s.executions()
		if err != nil {
			return err
		}
		for _, f := range s.faults {
			l := at(f.kind)
			if !slices.Contains(l.services, s.name) {
				l.services = append(l.services, s.name)
			}
			if f.impossible != nil {
				l.void++
				continue
			}
			l.times++
			if f.backAfter > 0 {
				l.back = append(l.back, f.backAfter)
			}
		}
		kindAt := func(t time.Time) *line {
			if i := s.lastFault(t); i >= 0 {
				return at(s.faults[i].kind)
			}
			return at("(before the first)")
		}
		for _, o := range s.ledger.jobs {
			jobs++
			images += o.images
			again += o.verdict.again
			l := kindAt(o.accepted)
			l.accepted += o.images
			l.lost += o.verdict.lost
			l.mixedUp += o.verdict.mixedUp
			wrong = append(wrong, o.verdict.why...)
		}
		for _, when := range twice {
			for _, at := range when[1:] {
				kindAt(at).twice++
			}
		}
		refused, broken, disowned = refused+s.ledger.refused, broken+s.ledger.broken, disowned+s.ledger.disowned
		wrong = append(wrong, s.ledger.wrong...)
	}
	sum := print(out, lines)
	fmt.Fprintf(out, "\n%d jobs of %d images were accepted, of which %d were delivered to a worker more than once; "+
		"%d requests were told to come again, %d got no answer, %d keys were given up\n", jobs, images, again, refused, broken, disowned)
	for _, why := range wrong {
		fmt.Fprintln(out, why)
	}
	fmt.Fprintf(out, "%d faults of %d kinds: %d lost, %d mixed up, %d executed twice\n", sum.times, sum.void, sum.lost, sum.mixedUp, sum.twice)
	if sum.lost+sum.mixedUp+len(wrong) > 0 || images == 0 {
		return errWrong
	}
	return nil
}

// print prints the table and returns its sum, with the number of kinds in place of void.
func print(out io.Writer, lines map[string]*line) line {
	var sum line
	all := make([]*line, 0, len(lines))
	for _, l := range lines {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *line) int { return strings.Compare(a.kind, b.kind) })
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tservices\ttimes\timages accepted\tlost\tmixed up\texecuted twice\taccepts again after (median, most)")
	for _, l := range all {
		slices.Sort(l.back)
		again := "-"
		if n := len(l.back); n > 0 {
			again = fmt.Sprintf("%.1f s, %.1f s", l.back[n/2].Seconds(), l.back[n-1].Seconds())
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", l.kind, strings.Join(l.services, " "), l.times, l.accepted, l.lost, l.mixedUp, l.twice, again)
		sum.times, sum.lost, sum.mixedUp, sum.twice = sum.times+l.times, sum.lost+l.lost, sum.mixedUp+l.mixedUp, sum.twice+l.twice
		if l.times > 0 {
			sum.void++
		}
	}
	w.Flush()
	return sum
}
