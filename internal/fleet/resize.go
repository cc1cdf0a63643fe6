package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Change is what a Resize did.
type Change struct {
	Launched []string `json:"launched,omitempty"` // asked for
	Drained  []string `json:"drained,omitempty"`  // told to finish and go
	Ended    []string `json:"ended,omitempty"`    // ended by force: never ready, or drained too long
	Held     string   `json:"held,omitempty"`     // why fewer were launched than wanted; "" where none were held back
}

// Any reports whether a worker was launched, drained or ended.
func (c Change) Any() bool { return len(c.Launched)+len(c.Drained)+len(c.Ended) > 0 }

// String says which workers were started and ended, for people.
func (c Change) String() string {
	var all []string
	for _, done := range []struct {
		what  string
		names []string
	}{{"started ", c.Launched}, {"told to end ", c.Drained}, {"ended by force ", c.Ended}} {
		if len(done.names) > 0 {
			all = append(all, done.what+strings.Join(done.names, ", "))
		}
	}
	return strings.Join(all, "; ")
}

// Resize makes the crew want workers strong, those not counted that are leaving or silent: it launches what is missing under the
// lowest free names, or drains what is too much. It also ends the workers that are overdue. A worker that says
// that it holds images is never ended by force. It does not wait for anything but the launcher's answer; what an
// error left undone is tried again by the next Resize.
func (c *Crew) Resize(ctx context.Context, want int) (Change, error) {
	var change Change
	var errs []error
	if late := c.overdue(time.Now()); len(late) > 0 {
		if err := c.launcher.Terminate(ctx, late...); err != nil {
			errs = append(errs, fmt.Errorf("end overdue workers: %w", err))
		} else {
			change.Ended = late
			c.giveUp(late)
		}
	}
	if excess := c.excess(time.Now(), want); len(excess) > 0 {
		if err := c.launcher.Drain(ctx, excess...); err != nil {
			errs = append(errs, fmt.Errorf("drain workers: %w", err))
		} else {
			change.Drained = excess
			c.setLeaving(excess)
		}
	}
	names, held := c.reserve(time.Now(), want)
	change.Held = held
	if len(names) > 0 {
		launched, err := c.launcher.Launch(ctx, names...)
		change.Launched = c.enter(names, launched, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("launch workers: %w", err))
		}
	}
	return change, errors.Join(errs...)
}

// overdue returns the workers that had their time to get ready, or to go.
func (c *Crew) overdue(now time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, m := range c.inOrder() {
		switch {
		case !m.leaving.IsZero():
			holds := now.Sub(m.heard) <= silence && m.report.Holding > 0
			limit := c.config.DrainTimeout
			if m.silent {
				limit = min(limit, silentDrain)
			}
			if now.Sub(m.leaving) >= limit && !holds {
				names = append(names, m.Name)
			}
		case m.ready.IsZero() && now.Sub(m.entered) >= c.config.StartDeadline:
			names = append(names, m.Name)
		}
	}
	return names
}

// giveUp enters that the workers were ended by force. One that was never told to go has failed to start.
func (c *Crew) giveUp(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, name := range names {
		m := c.ledger[name]
		c.log.Warn("worker ended by force", "worker", name, "id", m.ID, "ready", !m.ready.IsZero(), "holding", m.report.Holding)
		if m.leaving.IsZero() {
			c.backoff.note(now, m.round, name+" did not get ready", "it was given "+seconds(now.Sub(m.entered)))
		}
		m.leaving = now
	}
}

// excess returns the workers to be drained: those silent or alive for too long, and those beyond want. A silent one that is not
// overdue may come back, and stays unless nobody is wanted. Of those beyond want the first to go are those still starting, then the idle ones, then the busy ones, each from the highest number
// down: what is ready and at work is worth most.
func (c *Crew) excess(now time.Time, want int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turned = now
	var names []string
	var staying []*member
	for _, m := range c.inOrder() {
		silent := !m.ready.IsZero() && min(now.Sub(m.heard), now.Sub(c.resumed)) >= c.config.SilentFor
		old := c.config.MaxLife > 0 && now.Sub(m.Launched) >= c.config.MaxLife
		switch {
		case !m.leaving.IsZero():
		case silent, old:
			c.log.Info("worker is replaced", "worker", m.Name, "id", m.ID, "silent", silent, "old", old)
			m.silent = silent
			names = append(names, m.Name)
		case m.silent && want > 0:
		default:
			staying = append(staying, m)
		}
	}
	slices.SortStableFunc(staying, func(a, b *member) int {
		return cmp.Or(cmp.Compare(b.worth(), a.worth()), compareNames(a.Name, b.Name))
	})
	for len(staying) > max(0, want) {
		last := len(staying) - 1
		names = append(names, staying[last].Name)
		staying = staying[:last]
	}
	return names
}

func (m *member) worth() int {
	switch m.state() {
	case Busy:
		return 2
	case Idle:
		return 1
	default:
		return 0
	}
}

func (c *Crew) setLeaving(names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		c.ledger[name].leaving = time.Now()
	}
}

// reserve enters the workers missing up to want in the ledger, and returns their names; and why there are fewer.
func (c *Crew) reserve(now time.Time, want int) (names []string, held string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	staying := 0
	for _, m := range c.ledger {
		if m.leaving.IsZero() && !m.silent {
			staying++
		}
	}
	if staying >= want {
		return nil, ""
	}
	if c.backoff.held(now) > 0 {
		return nil, c.backoff.sentence(now)
	}
	for n := 1; staying+len(names) < want; n++ {
		if c.config.Max > 0 && len(c.ledger) >= c.config.Max {
			others := len(c.ledger) - staying - len(names)
			return names, fmt.Sprintf("waiting for workers to end: of the %d that may be alive, those that are leaving or silent number %d", c.config.Max, others)
		}
		name := c.config.Prefix + strconv.Itoa(n)
		if c.ledger[name] != nil {
			continue
		}
		former, _ := c.roster.find(name)
		c.ledger[name] = &member{
			Instance: Instance{Name: name, Launched: now},
			entered:  now, round: c.backoff.round, former: former.Report,
		}
		names = append(names, name)
	}
	return names, ""
}

// enter completes the entries of the names that were launched and takes out the others. One of those that
// came to life nevertheless is adopted by the next Look.
func (c *Crew) enter(names []string, launched []Instance, err error) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var done []string
	for _, inst := range launched {
		if m := c.ledger[inst.Name]; m != nil {
			m.ID = inst.ID // when it was asked for this machine's clock knows best
			done = append(done, inst.Name)
		}
	}
	var lost []string
	for _, name := range names {
		if c.ledger[name].ID == "" {
			delete(c.ledger, name)
			lost = append(lost, name)
		}
	}
	if err != nil && len(lost) > 0 && !errors.Is(err, context.Canceled) {
		c.backoff.note(now, c.backoff.round, lost[0]+" could not be started", err.Error())
	}
	return done
}

// End drains all workers and waits until they have ended. When the drain timeout has passed or ctx ends, it ends
// by force what is left, whatever it holds: the images come back when their leases pass.
func (c *Crew) End(ctx context.Context) error {
	const poll = 100 * time.Millisecond
	deadline := time.Now().Add(c.config.DrainTimeout)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		if seen, err := c.Look(ctx); err == nil && len(seen.Workers) == 0 {
			return nil
		}
		if _, err := c.Resize(ctx, 0); err != nil {
			c.log.Warn("cannot drain the workers; trying again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	left, err := c.launcher.List(ctx)
	if err != nil {
		return fmt.Errorf("end all workers: %w", err)
	}
	var names []string
	for _, inst := range left {
		names = append(names, inst.Name)
	}
	if err := c.launcher.Terminate(ctx, names...); err != nil {
		return fmt.Errorf("end all workers: %w", err)
	}
	return nil
}
