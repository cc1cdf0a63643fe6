package access

import (
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ocelli/ocelli"
)

// limits holds callers to what their keys may do in a second and in a day.
type limits struct {
	mu      sync.Mutex
	buckets map[string]*rate.Limiter // by the id of a key
	day     string                   // to which own and others belong
	own     map[string]int64         // images that this node accepted, by the id of a key
	others  map[string]int64         // the same of all other nodes, as far as it is known
	dirty   bool                     // own has changed since it was last written
}

func newLimits() *limits {
	return &limits{buckets: map[string]*rate.Limiter{}, own: map[string]int64{}, others: map[string]int64{}}
}

// tooSoon is the error of a request over the rate of its key.
type tooSoon struct {
	error
	wait time.Duration
}

func (t *tooSoon) Unwrap() error { return t.error }

// Wait is how long a caller waits whose request ended in an error that a limit of its key gave; ok is false for other errors.
func Wait(err error, now time.Time) (wait time.Duration, ok bool) {
	if t, ok := errors.AsType[*tooSoon](err); ok {
		return t.wait, true
	}
	if e := ocelli.AsError(err); e != nil && e.Code == ocelli.QuotaUsed {
		return untilNextDay(now), true
	}
	return 0, false
}

// request counts one request of the key. The error is an [ocelli.Error] with code RateLimited.
func (l *limits) request(k *Key, now time.Time) error {
	if k.Rate == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[k.ID]
	if b == nil || b.Limit() != rate.Limit(k.Rate) {
		// Two seconds' worth may come at once: a page asks for several things as it opens.
		b = rate.NewLimiter(rate.Limit(k.Rate), max(1, int(math.Ceil(2*k.Rate))))
		l.buckets[k.ID] = b
	}
	turn := b.ReserveN(now, 1)
	wait := turn.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	turn.CancelAt(now)
	return &tooSoon{ocelli.Errorf(ocelli.RateLimited, "this key may make %g requests per second: slow down", k.Rate), wait}
}

// spend counts images of the key; see [Spend].
func (l *limits) spend(k *Key, images int64, now time.Time) error {
	if k.Quota == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	used := l.own[k.ID] + l.others[k.ID]
	if used+images > k.Quota {
		return ocelli.Errorf(ocelli.QuotaUsed, "this key may send %d images a day and has sent %d: the next day begins at 00:00 UTC, in %s",
			k.Quota, used, untilNextDay(now).Round(time.Minute))
	}
	l.own[k.ID] += images
	l.dirty = true
	return nil
}

// refund gives images of the key back; see [Refund].
func (l *limits) refund(k *Key, images int64, since, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn(now)
	if k.Quota == 0 || images == 0 || dayOf(since) != l.day {
		return
	}
	l.own[k.ID] = max(0, l.own[k.ID]-images) // less is there where the clock was set back over midnight
	l.dirty = true
}

// turn begins a new day when it has come. The mutex is held.
func (l *limits) turn(now time.Time) {
	if day := dayOf(now); day != l.day {
		l.day, l.own, l.others, l.dirty = day, map[string]int64{}, map[string]int64{}, false
	}
}

func dayOf(now time.Time) string { return now.UTC().Format(time.DateOnly) }

// untilNextDay is how long it takes until quotas begin anew.
func untilNextDay(now time.Time) time.Duration {
	return now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Sub(now)
}
