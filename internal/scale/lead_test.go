package scale_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli/internal/scale"
)

// lease lasts 5 s and is asked for every second.
type lease struct {
	takes  int
	given  int
	answer func(take int) error // to the n-th question, from 1
}

func (l *lease) Take(context.Context) (time.Time, error) {
	asked := time.Now()
	l.takes++
	return asked.Add(5 * time.Second), l.answer(l.takes)
}

func (l *lease) GiveUp(context.Context) error {
	l.given++
	return nil
}

func TestALeadEndsWhenItCannotBeKept(t *testing.T) {
	silent := errors.New("no answer")
	for name, c := range map[string]struct {
		answer func(take int) error
		acts   time.Duration // how long fn may act
		given  int
	}{
		"at once where another has it": {func(take int) error {
			if take > 3 {
				return scale.ErrTaken
			}
			return nil
		}, 3 * time.Second, 0},
		"with its lease where nothing answers": {func(take int) error {
			if take > 3 {
				return silent
			}
			return nil
		}, 7 * time.Second, 1},
		"with its lease where the answer comes too late": {func(take int) error {
			if take > 3 {
				time.Sleep(6 * time.Second)
			}
			return nil
		}, 7 * time.Second, 1},
		"not in a short silence": {func(take int) error {
			if take%4 != 0 && take < 100 {
				return nil
			}
			return silent
		}, 103 * time.Second, 1}, // the last good answer comes after 98 s
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				l := &lease{answer: c.answer}
				start := time.Now()
				var acted time.Duration
				err := scale.Lead(ctx, l, time.Second, slog.New(slog.DiscardHandler), func(acting context.Context) error {
					<-acting.Done()
					acted = time.Since(start)
					cancel()
					return nil
				})
				if err != nil || acted != c.acts || l.given != c.given {
					t.Errorf("fn acted for %v and the lead was given up %d times (%v), want %v and %d", acted, l.given, err, c.acts, c.given)
				}
			})
		})
	}
}

func TestALeadIsKeptUntilThingsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		l := &lease{answer: func(int) error { return nil }}
		broken, start := errors.New("broken"), time.Now()
		err := scale.Lead(ctx, l, time.Second, slog.New(slog.DiscardHandler), func(acting context.Context) error {
			<-acting.Done()
			time.Sleep(time.Minute + time.Second/2)
			return broken
		})
		if !errors.Is(err, broken) || l.given != 1 || time.Since(start) < 70*time.Second || l.takes != 71 {
			t.Errorf("after %v the lead was taken %d times and given up %d times: %v", time.Since(start), l.takes, l.given, err)
		}
	})
}
