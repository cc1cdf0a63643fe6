package intake_test

import (
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
)

// A client who has sent a hundred jobs does not keep another's only one waiting.
func TestAFloodLeavesOthersTheirTurns(t *testing.T) {
	q := queue.NewMem(time.Minute, 10_000)
	in := newIntake(new(blob.Mem), q, roomy)
	send := func(owner string) (last string) {
		job := intake.NewJob()
		ctx := access.With(t.Context(), &access.Caller{Key: &access.Key{Owner: owner}})
		if _, err := in.Submit(ctx, job, uploads(upload("a.png", picture(0)), upload("b.png", picture(0)))); err != nil {
			t.Fatal(err)
		}
		return string(job.ID)
	}
	for range 100 {
		send("flood")
	}
	modest := send("modest")
	seen := 0
	for place, task := range queuetest.Drain(t, q) {
		if string(task.Job()) == modest {
			if seen++; seen == 2 && place > 10 {
				t.Errorf("the last image of the modest client comes %dth, behind the flood", place+1)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d images of the modest client came", seen)
	}
}

// When the backlog is at its limit, those who fill it are refused and a modest client is not; nor is there room without end.
func TestAFullBacklogLeavesRoomForModestClients(t *testing.T) {
	q := queue.NewMem(time.Minute, 10_000)
	limits := roomy
	limits.Backlog = 100
	in := newIntake(new(blob.Mem), q, limits)
	accepted := func(owner string, most int) (n int) {
		ctx := t.Context()
		if owner != "" {
			ctx = access.With(ctx, &access.Caller{Key: &access.Key{Owner: owner}})
		}
		for ; n < most; n++ {
			if _, err := in.Submit(ctx, intake.NewJob(), uploads(upload("a.png", picture(0)))); err != nil {
				if codeOf(err) != ocelli.Overloaded {
					t.Fatal(err)
				}
				return n
			}
		}
		return n
	}
	for _, step := range []struct {
		owner      string
		most, want int
	}{{"flood", 1000, 100}, {"", 1, 0}, {"modest", 5, 5}, {"flood", 1, 0}, {"another", 1000, 5}, {"modest", 1, 0}} {
		if got := accepted(step.owner, step.most); got != step.want {
			t.Errorf("of %d jobs of %q %d were accepted, want %d", step.most, step.owner, got, step.want)
		}
	}
}
