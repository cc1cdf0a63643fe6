package intake_test

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
)

// A key whose first request went down with its process is free for the same request at once, where nobody else can be reading it; while it is being
// read, it is not.
func TestAKeyOutlivesTheCrashOfItsFirstRequest(t *testing.T) {
	for _, test := range []struct {
		name          string
		alone, crash  bool
		want          ocelli.Code
		wantFirstDone bool
	}{
		{"alone, crashed", true, true, "", false},
		{"alone, still being read", true, false, ocelli.Conflict, true},
		{"one of several, crashed", false, true, ocelli.Conflict, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			blobs, q := new(blob.Mem), queue.NewMem(0, 1000)
			before := newIntake(blobs, q, roomy)
			before.Alone = test.alone
			reading, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() {
				_, err := before.SubmitOnce(t.Context(), "key", intake.NewJob(), pausing(reading, goOn))
				ended <- err
			}()
			<-reading
			after := before
			if test.crash { // the new process knows nothing of what the old one was reading
				after = newIntake(blobs, q, roomy)
				after.Alone = test.alone
			}
			id, err := after.SubmitOnce(t.Context(), "key", intake.NewJob(), uploads(upload("a.png", picture(0))))
			if got := codeOf(err); got != test.want {
				t.Errorf("the repeat got %q: %v", got, err)
			}
			if err == nil {
				again, err := after.SubmitOnce(t.Context(), "key", intake.NewJob(), uploads(upload("a.png", picture(0))))
				if err != nil || again != id {
					t.Errorf("the next repeat is job %s, %v; want %s", again, err, id)
				}
			}
			close(goOn)
			if err := <-ended; test.wantFirstDone && err != nil {
				t.Errorf("the first request: %v", err)
			}
		})
	}
}

// pausing is an upload that stands still before its image.
func pausing(reading, goOn chan struct{}) iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		close(reading)
		<-goOn
		yield(upload("a.png", picture(0)), nil)
	}
}

// A repeat that finds the first request in the very moment in which it breaks off must not take the next turn: the request would become one
// job by that turn and another by the one that is free again.
func TestARepeatBesideARequestThatBreaksOff(t *testing.T) {
	blobs := &hooked{Store: new(blob.Mem)}
	in := newIntake(blobs, queue.NewMem(0, 1000), roomy)
	in.Alone = true
	reading, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, err := in.SubmitOnce(t.Context(), "key", intake.NewJob(), func(yield func(intake.Upload, error) bool) {
			close(reading)
			<-goOn
			yield(intake.Upload{}, ocelli.Errorf(ocelli.BadRequest, "it broke off"))
		})
		if codeOf(err) != ocelli.BadRequest {
			t.Errorf("the request that broke off: %v", err)
		}
	}()
	<-reading
	var broke atomic.Bool
	blobs.opened = func() {
		if !broke.Swap(true) { // the request that breaks off opens its claim, too
			close(goOn)
			<-ended
		}
	}
	became := map[ocelli.JobID]bool{}
	for range 4 {
		id, err := in.SubmitOnce(t.Context(), "key", intake.NewJob(), uploads(upload("a.png", picture(0))))
		if err == nil {
			became[id] = true
		} else if codeOf(err) != ocelli.Conflict {
			t.Fatal(err)
		}
	}
	if len(became) != 1 {
		t.Errorf("one request became the jobs %v", became)
	}
}

// hooked is a store that calls opened when a blob has been opened, and not yet read.
type hooked struct {
	blob.Store
	opened func()
}

func (h *hooked) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	r, err := h.Store.Open(ctx, key)
	if h.opened != nil {
		h.opened()
	}
	return r, err
}
