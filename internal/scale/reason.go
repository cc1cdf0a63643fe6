package scale

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

func (v *view) nothingWaits() string {
	if v.s.Leased > 0 {
		return fmt.Sprintf("nothing waits, and no worker alive holds the %s still leased: they come back when their leases pass: 0 workers", count(v.s.Leased, "image", "images"))
	}
	return "nothing waits and nothing arrives: 0 workers"
}

// enoughReason explains why no worker is started: one more would come when the work is done.
func (v *view) enoughReason(need int, gone float64) string {
	hands := v.hands()
	switch {
	case v.arrival > 0:
		return fmt.Sprintf("%s; %s images arrive each second, the work of %s: %s", v.waits(), num(v.arrival), v.load(), wouldDo(need, hands))
	case need < hands:
		return fmt.Sprintf("%s: %s", v.waits(), wouldDo(need, hands))
	}
	return fmt.Sprintf("%s; %s at %s img/s %s in %s and %s would arrive after %s, when the work is done: %s",
		v.waits(), workers(hands), num(v.rate), verb(hands, "finish"), seconds(gone), ordinal(hands+1), seconds(v.lead), workers(need))
}

// load tells how many workers the stream keeps busy.
func (v *view) load() string {
	return fmt.Sprintf("%s workers at %s img/s", num(v.arrival/v.rate), num(v.rate))
}

// waits tells how many images there are.
func (v *view) waits() string {
	ready, leased := v.s.Ready, int64(0)
	if v.busy > 0 {
		leased = v.s.Leased
	}
	switch {
	case ready == 0 && leased == 0:
		return "nothing waits"
	case leased == 0:
		return count(ready, "image waits", "images wait")
	case ready == 0:
		return "nothing waits, " + count(leased, "image is in work", "images are in work")
	}
	return count(ready, "image waits", "images wait") + ", " + count(leased, "is in work", "are in work")
}

// streamReason explains how many workers a steady stream needs.
func (v *view) streamReason(n int) string {
	text := fmt.Sprintf("%s; %s images arrive each second, the work of %s", v.waits(), num(v.arrival), v.load())
	if n < v.max {
		text += fmt.Sprintf(", and one more than %d would cost more than the waiting that it saves", n)
	}
	return text + ": " + v.all(n)
}

// backlogReason explains how many workers the backlog is worth, where left of it will be there when base+k of them are.
func (v *view) backlogReason(n, base, k int, left float64) string {
	var b strings.Builder
	b.WriteString(v.waits())
	if v.arrival > 0 {
		fmt.Fprintf(&b, " and %s more arrive each second", num(v.arrival))
	}
	now := v.outcome(n + v.lost)
	switch {
	case n == 0:
		fmt.Fprintf(&b, "; nobody is there to do it and no other may be started: %s", v.all(0))
		return b.String()
	case now.Finish < 0:
		fmt.Fprintf(&b, "; even %s at %s img/s cannot keep up, so the backlog grows: %s", workers(n), num(v.rate), v.all(n))
		return b.String()
	}
	fmt.Fprintf(&b, "; %s at %s img/s %s in %s", workers(n), num(v.rate), verb(n, "finish"), seconds(now.Finish))
	if n > v.hands() {
		if was := v.outcome(n + v.lost - 1); was.Finish >= 0 {
			fmt.Fprintf(&b, ", %d in %s", n-1, seconds(was.Finish))
		} else if n > 1 {
			fmt.Fprintf(&b, ", %d never", n-1)
		}
	}
	if n+v.lost < v.max {
		b.WriteString("; " + v.oneMore(n, base, k, left, now.Finish))
	}
	return b.String() + ": " + v.all(n)
}

// oneMore tells what one worker more than n would lead to.
func (v *view) oneMore(n, base, k int, left, finish float64) string {
	more := v.outcome(n + v.lost + 1)
	switch {
	case finish-more.Finish < 0.5e-3*max(1, finish):
		return "one more would finish no earlier"
	case n < base+k:
		return fmt.Sprintf("with one more somebody would still have %s to do", count(int64(rounds(left, n)), "image", "images"))
	}
	saved, cost := v.onMore(base, k, left, v.overhead)
	return fmt.Sprintf("one more would finish in %s, save %s image-seconds of waiting (worth %s worker-seconds) and cost %s",
		seconds(more.Finish), num(saved), num(v.p.WaitWorth*saved), num(cost))
}

// all writes n workers and those that never came, of whom the notes tell.
func (v *view) all(n int) string {
	if n+v.lost == v.max {
		return workers(v.max) + ", the maximum"
	}
	return workers(n + v.lost)
}

// seconds writes a length of time as people say it.
func seconds(s float64) string {
	switch {
	case math.IsInf(s, 0) || math.IsNaN(s):
		return "never"
	case s < 0.0995:
		return fmt.Sprintf("%.0f ms", s*1000)
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 99.95:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", s), ".0") + " s"
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

// num writes a number with three digits, or all of them where it has more before the point.
func num(x float64) string {
	if math.Abs(x) >= 1000 {
		return strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func workers(n int) string { return count(int64(n), "worker", "workers") }

func wouldDo(need, hands int) string {
	if need < hands {
		return workers(need) + " would do"
	}
	return workers(need)
}

func verb(n int, word string) string {
	if n == 1 {
		return word + "es"
	}
	return word
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func ordinal(n int) string {
	if n == 2 {
		return "a second"
	}
	return "one more"
}

func stay(n int) string { return count(int64(n), "worker stays", "workers stay") }
