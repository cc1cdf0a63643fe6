package work_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/retain"
)

// Workers come when the deadline has passed: each image says so, and none is worked on.
func TestAnImageThatIsLeasedAfterItsDeadlineIsNotWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		late, calm := intake.NewJob(), intake.NewJob()
		late.Deadline, calm.Deadline = late.Created.Add(30*time.Second), late.Created.Add(time.Hour)
		if _, err := s.intake.Submit(t.Context(), late, files("r", red, "text", []byte("text"), "g", green)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.intake.Submit(t.Context(), calm, files("b", blue)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		ctx := s.start(t, 1)
		job, err := s.tracker.Wait(ctx, late.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := outcome(job), "r=deadline_exceeded text=unsupported_type g=deadline_exceeded"; got != want || !job.Deadline.Equal(late.Deadline) {
			t.Errorf("got %s by %s, want %s by %s", got, job.Deadline, want, late.Deadline)
		}
		if job, err = s.tracker.Wait(ctx, calm.ID); err != nil || outcome(job) != "b=blue" {
			t.Errorf("the job that had time: %s, %v", outcome(job), err)
		}
		if stats, _ := s.queue.Stats(ctx); stats.Backlog() != 0 {
			t.Errorf("%d messages are left", stats.Backlog())
		}
	})
}

// Whether the deadline was lifted cannot be told where the manifest is damaged: then it holds.
func TestADeadlineHoldsWhereTheManifestIsDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		m := intake.NewJob()
		m.Deadline = m.Created.Add(30 * time.Second)
		if _, err := s.intake.Submit(t.Context(), m, files("r", red)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.blobs.Put(t.Context(), ocelli.ManifestKey(m.ID), strings.NewReader("{")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.start(t, 1)
		time.Sleep(time.Minute)
		r, err := s.intake.Results.Load(t.Context(), m.ID, ocelli.NewImageID(m.ID, 1))
		if err != nil || r.Error == nil || r.Error.Code != ocelli.DeadlineExceeded {
			t.Errorf("the result is %+v, %v", r, err)
		}
	})
}

// No worker comes at all: the node that took the job ends it, and so does another one that is asked for it.
func TestAJobWithoutWorkersEndsAtItsDeadline(t *testing.T) {
	for name, restart := range map[string]bool{"on its node": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blobs, q := new(blob.Mem), queue.NewMem(lease, 1000)
				s := newService(blobs, q)
				m := intake.NewJob()
				m.Deadline = m.Created.Add(30 * time.Second)
				if _, err := s.intake.Submit(t.Context(), m, files("r", red, "g", green)); err != nil {
					t.Fatal(err)
				}
				if restart {
					s = newService(blobs, q)
				}
				ctx := s.start(t, 0)
				go func() { _ = s.intake.Run(ctx) }()
				job, err := s.tracker.Wait(ctx, m.ID)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := outcome(job), "r=deadline_exceeded g=deadline_exceeded"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if late := time.Since(m.Deadline); late < 0 || late > 2*time.Second {
					t.Errorf("it ended %s after the deadline", late)
				}
			})
		})
	}
}

// No worker comes before the deadline, and the job is put back after it: the messages from before, which come first, do not end it again.
func TestAJobThatIsPutBackHasNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, q := new(blob.Mem), queue.NewMem(lease, 1000)
		s := newService(blobs, q)
		m := intake.NewJob()
		m.Deadline = m.Created.Add(30 * time.Second)
		if _, err := s.intake.Submit(t.Context(), m, files("r", red, "g", green)); err != nil {
			t.Fatal(err)
		}
		ctx := s.start(t, 0)
		go func() { _ = s.intake.Run(ctx) }()
		s.ended(t, m.ID)
		jobs := &retain.Jobs{Blobs: blobs, Results: &result.Store{Blobs: blobs, Bus: s.bus}, Queue: q, Store: s.intake.Store,
			Topic: s.tracker.Topic(), Backlog: 1000, Forget: s.tracker.Forget}
		if n, err := jobs.Retry(ctx, m.ID); n != 2 || err != nil {
			t.Fatalf("%d images were put back: %v", n, err)
		}
		ended := make(chan struct{})
		go func() { _ = s.worker("w1").Run(ctx, nil); close(ended) }()
		t.Cleanup(func() { <-ended })
		if got := outcome(s.ended(t, m.ID)); got != "r=red g=green" {
			t.Errorf("got %s", got)
		}
	})
}
