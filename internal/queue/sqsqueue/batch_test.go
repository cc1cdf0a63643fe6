package sqsqueue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// Of a batch only the entries that failed are sent again.
func TestFailedEntriesAreTriedAgain(t *testing.T) {
	var items []int
	for i := range 25 {
		items = append(items, i)
	}
	var tried [][]int
	group := new(errgroup.Group)
	group.SetLimit(1)
	inBatches(t.Context(), group, items, func(_ context.Context, batch []int) (failed []failure, err error) {
		tried = append(tried, batch)
		for i, item := range batch {
			if item == 13 && len(tried) < 4 {
				failed = append(failed, failure{index: i, code: "InternalError"})
			}
		}
		return failed, nil
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	want := [][]int{items[:10], items[10:20], {13}, {13}, items[20:]}
	slices.SortFunc(tried, func(a, b []int) int { return a[0] - b[0] })
	slices.SortFunc(want, func(a, b []int) int { return a[0] - b[0] })
	if diff := cmp.Diff(want, tried); diff != "" {
		t.Errorf("tried (-want +got):\n%s", diff)
	}
}

func TestEntriesThatFailForGood(t *testing.T) {
	for name, c := range map[string]struct {
		failure failure
		tries   int
	}{
		"for a fault of their own": {failure{index: 0, code: "InvalidMessageContents", ours: true}, 1},
		"again and again":          {failure{index: 0, code: "InternalError"}, entryTries},
		"that were never sent":     {failure{index: 7, code: "Odd"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			err := tryBatch(t.Context(), []string{"a", "b"}, func(context.Context, []string) ([]failure, error) {
				tries++
				return []failure{c.failure}, nil
			})
			if err == nil || !strings.Contains(err.Error(), c.failure.code) || tries != c.tries {
				t.Errorf("after %d tries, want %d: %v", tries, c.tries, err)
			}
		})
	}
	broken := errors.New("broken")
	if err := tryBatch(t.Context(), []int{1}, func(context.Context, []int) ([]failure, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("a request that failed: %v", err)
	}
}

func TestTheFirstOfEachGroupGoAhead(t *testing.T) {
	var q Queue
	for i := range 3 * express {
		if ahead := q.express("large"); ahead != (i < express) {
			t.Fatalf("message %d of a group goes ahead: %t", i+1, ahead)
		}
		if !q.express("") {
			t.Fatal("a message without a group does not go ahead")
		}
	}
	if !q.express("small") {
		t.Error("the first message of another group does not go ahead")
	}
}
