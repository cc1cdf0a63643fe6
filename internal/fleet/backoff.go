package fleet

import (
	"fmt"
	"time"
)

const (
	backoffFirst = time.Second
	backoffMax   = time.Minute
	// provenAfter is how long a worker must have been ready to end a row of crashes without having finished
	// an image.
	provenAfter = 10 * time.Second
)

// backoff holds back launches after crashes that come in a row. The first round of crashes holds nothing
// back, so a worker that was killed is replaced at once; the second holds for a second, each further one for
// twice as long. A crash begins a round if its worker was launched after the last round began: nineteen that find
// the same broken model count once. The zero value is ready.
type backoff struct {
	round  int       // number of the last round; never goes back
	rounds int       // of crashes in a row
	count  int       // crashes in those rounds
	first  time.Time // crash of the row
	last   time.Time
	next   time.Time // when a launch may be tried again
	what   string    // "ocelli-worker-1 crashed"
	detail string    // "exit status 2"
}

// note enters that a worker launched after the given round has failed.
func (b *backoff) note(now time.Time, round int, what, detail string) {
	if b.rounds == 0 {
		b.first = now
	}
	if b.rounds == 0 || round == b.round {
		b.round++
		b.rounds++
	}
	b.count++
	b.last, b.what, b.detail = now, what, detail
	b.next = now.Add(b.delay())
}

func (b *backoff) delay() time.Duration {
	if b.rounds < 2 {
		return 0
	}
	return min(backoffFirst<<min(b.rounds-2, 16), backoffMax)
}

// proven enters that a worker launched after the given round does well. If that was the last round, it ends the row.
func (b *backoff) proven(round int) {
	if round == b.round {
		*b = backoff{round: b.round}
	}
}

// forget ends the row where nothing has failed for so long: perhaps no more workers were wanted, and none was launched that could be proven.
func (b *backoff) forget(now time.Time, after time.Duration) {
	if now.Sub(b.last) >= after {
		*b = backoff{round: b.round}
	}
}

// held returns how long launches must still wait.
func (b *backoff) held(now time.Time) time.Duration { return max(0, b.next.Sub(now)) }

// sentence says what is wrong, for people; "" while nothing has failed twice in a row.
func (b *backoff) sentence(now time.Time) string {
	if b.rounds < 2 {
		return ""
	}
	next := "starting again"
	if wait := b.held(now); wait > 0 {
		next = "next start in " + seconds(wait)
	}
	return fmt.Sprintf("workers failed %d times in %s; the last: %s (%s); %s",
		b.count, seconds(b.last.Sub(b.first)), b.what, b.detail, next)
}

// seconds rounds up to whole seconds, at least one.
func seconds(d time.Duration) string {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second)).String()
}
