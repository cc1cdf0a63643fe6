// Package fleettest is the suite that every [fleet.Launcher] passes, and a launcher whose faults come in pairs.
package fleettest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/fleet"
)

// World is one launcher under test, with no workers yet. Its workers run until they are drained or terminated.
type World struct {
	Launcher fleet.Launcher
	// Exits is the launcher's channel of exits; nil where it has none.
	Exits <-chan fleet.Exit
	// Again opens another launcher on the same workers, as a controller does that was started again; nil where
	// workers end with their launcher.
	Again func(t *testing.T) fleet.Launcher
}

// Run runs the suite. open makes a new world for each test and cleans it up with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) World) {
	tests := []struct {
		name string
		test func(*testing.T, World)
	}{
		{"a launch gives what List then names", testLaunch},
		{"a repeated launch changes nothing", testRepeat},
		{"concurrent launches of one name give one worker", testConcurrent},
		{"a bad name fails alone", testBadNames},
		{"an ended context launches nothing", testEndedContext},
		{"drain ends the named worker only", testDrain},
		{"terminate ends the named worker only", testTerminate},
		{"unknown names are no error", testUnknown},
		{"a name can be used again after its end", testNameAgain},
		{"a call that failed can be repeated, whether it happened or not", testFaults},
		{"exits are told before List forgets the worker", testExits},
		{"another launcher finds the workers", testAgain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func testLaunch(t *testing.T, w World) {
	before := time.Now()
	names := []string{"w-3", "w-1", "w-2", "w-10"}
	launched := launch(t, w.Launcher, names...)
	var got []string
	ids := map[string]bool{}
	for _, inst := range launched {
		got = append(got, inst.Name)
		ids[inst.ID] = true
		// A launcher elsewhere has a clock of its own, and some count whole seconds.
		if inst.Launched.Before(before.Add(-5*time.Second)) || inst.Launched.After(time.Now().Add(5*time.Second)) {
			t.Errorf("%s was launched at %v, want about %v", inst.Name, inst.Launched, before)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("Launch returned other names (-want +got):\n%s", diff)
	}
	if len(ids) != len(names) || ids[""] {
		t.Errorf("ids are not distinct: %v", launched)
	}
	slices.SortFunc(launched, func(a, b fleet.Instance) int { return strings.Compare(a.Name, b.Name) })
	if diff := cmp.Diff(launched, list(t, w.Launcher)); diff != "" {
		t.Errorf("List differs from what was launched (-want +got):\n%s", diff)
	}
}

func testRepeat(t *testing.T, w World) {
	first := launch(t, w.Launcher, "w-1")
	both := launch(t, w.Launcher, "w-1", "w-2", "w-2")
	if len(both) != 3 || both[0] != first[0] || both[1] != both[2] {
		t.Errorf("launched %v, then w-1, w-2 and w-2 as %v", first, both)
	}
	if diff := cmp.Diff(both[:2], list(t, w.Launcher)); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func testConcurrent(t *testing.T, w World) {
	var mu sync.Mutex
	ids := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			launched, err := w.Launcher.Launch(t.Context(), "w-1")
			if err != nil {
				t.Errorf("Launch: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, inst := range launched {
				ids[inst.ID] = true
			}
		})
	}
	wg.Wait()
	if n := len(list(t, w.Launcher)); n != 1 || len(ids) != 1 {
		t.Errorf("%d workers alive, ids %v; want one", n, ids)
	}
}

func testBadNames(t *testing.T, w World) {
	bad := []string{"", "../w", "w 1", "W-1", "w\n1", strings.Repeat("w", 64)}
	for _, name := range bad {
		launched, err := w.Launcher.Launch(t.Context(), name, "good")
		if err == nil {
			t.Errorf("Launch of %q: no error", name)
		}
		if len(launched) != 1 || launched[0].Name != "good" {
			t.Errorf("Launch of %q and good returned %v, want good alone", name, launched)
		}
	}
	if got := names(list(t, w.Launcher)); !slices.Equal(got, []string{"good"}) {
		t.Errorf("List has %q, want good alone", got)
	}
}

func testEndedContext(t *testing.T, w World) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if launched, err := w.Launcher.Launch(ctx, "w-1"); !errors.Is(err, context.Canceled) || len(launched) != 0 {
		t.Errorf("Launch returned %v, %v; want nothing and context.Canceled", launched, err)
	}
	if got := list(t, w.Launcher); len(got) != 0 {
		t.Errorf("List has %v, want nothing", got)
	}
}

func testDrain(t *testing.T, w World)     { testEnd(t, w, w.Launcher.Drain) }
func testTerminate(t *testing.T, w World) { testEnd(t, w, w.Launcher.Terminate) }

func testEnd(t *testing.T, w World, end func(context.Context, ...string) error) {
	launch(t, w.Launcher, "w-1", "w-2", "w-3", "w-4")
	if err := end(t.Context()); err != nil {
		t.Errorf("with no names: %v", err)
	}
	if err := end(t.Context(), "w-1", "w-3"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, w.Launcher, "w-2", "w-4")
	if err := end(t.Context(), "w-3", "w-4"); err != nil {
		t.Errorf("with one that has ended: %v", err)
	}
	waitFor(t, w.Launcher, "w-2")
}

func testUnknown(t *testing.T, w World) {
	launch(t, w.Launcher, "w-1")
	if err := w.Launcher.Drain(t.Context(), "w-2", ""); err != nil {
		t.Errorf("Drain: %v", err)
	}
	if err := w.Launcher.Terminate(t.Context(), "w-2", "../w-1"); err != nil {
		t.Errorf("Terminate: %v", err)
	}
	waitFor(t, w.Launcher, "w-1")
}

func testNameAgain(t *testing.T, w World) {
	first := launch(t, w.Launcher, "w-1")
	if err := w.Launcher.Terminate(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, w.Launcher)
	second := launch(t, w.Launcher, "w-1")
	if first[0].ID == second[0].ID {
		t.Errorf("both workers of one name have the id %s", first[0].ID)
	}
	waitFor(t, w.Launcher, "w-1")
}

func testFaults(t *testing.T, w World) {
	for _, happens := range []bool{false, true} {
		f := NewFaulty(w.Launcher)
		f.FailNext(happens)
		if _, err := f.Launch(t.Context(), "w-1", "w-2"); err == nil {
			t.Fatal("the launch did not fail")
		}
		if n := len(list(t, f)); n != 0 && !happens || n != 2 && happens {
			t.Errorf("%d workers after a launch that failed, happened=%v", n, happens)
		}
		launch(t, f, "w-1", "w-2")
		f.FailNext(happens)
		if err := f.Drain(t.Context(), "w-1"); err == nil {
			t.Fatal("the drain did not fail")
		}
		if err := f.Drain(t.Context(), "w-1"); err != nil {
			t.Errorf("repeated drain: %v", err)
		}
		waitFor(t, f, "w-2")
		f.FailNext(happens)
		if err := f.Terminate(t.Context(), "w-2"); err == nil {
			t.Fatal("the end did not fail")
		}
		if err := f.Terminate(t.Context(), "w-2"); err != nil {
			t.Errorf("repeated end: %v", err)
		}
		waitFor(t, f)
	}
}

func testExits(t *testing.T, w World) {
	if w.Exits == nil {
		t.Skip("this launcher does not learn how workers end")
	}
	launched := launch(t, w.Launcher, "w-1", "w-2")
	if err := w.Launcher.Terminate(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, w.Launcher, "w-2")
	select {
	case e := <-w.Exits:
		if e.Name != "w-1" || e.ID != launched[0].ID || e.How == "" {
			t.Errorf("the exit is %+v, want that of %v by force", e, launched[0])
		}
	default:
		t.Error("List has forgotten the worker and no exit was told")
	}
}

func testAgain(t *testing.T, w World) {
	if w.Again == nil {
		t.Skip("these workers end with their launcher")
	}
	launch(t, w.Launcher, "w-1", "w-2")
	again := w.Again(t)
	if diff := cmp.Diff(list(t, w.Launcher), list(t, again)); diff != "" {
		t.Errorf("the other launcher lists (-want +got):\n%s", diff)
	}
	launch(t, again, "w-1", "w-2")
	if err := again.Drain(t.Context(), "w-1"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, w.Launcher, "w-2")
	waitFor(t, again, "w-2")
}

func launch(t *testing.T, l fleet.Launcher, names ...string) []fleet.Instance {
	t.Helper()
	launched, err := l.Launch(t.Context(), names...)
	if err != nil {
		t.Fatalf("Launch: %v", err)
	}
	return launched
}

func list(t *testing.T, l fleet.Launcher) []fleet.Instance {
	t.Helper()
	all, err := l.List(t.Context())
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return all
}

func names(all []fleet.Instance) []string {
	var names []string
	for _, inst := range all {
		names = append(names, inst.Name)
	}
	return names
}

// waitFor waits until exactly these workers are alive: real ones take their time to end.
func waitFor(t *testing.T, l fleet.Launcher, want ...string) {
	t.Helper()
	var got []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = names(list(t, l)); slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("after 10 s %q are alive, want %q", got, want)
}
