package intake_test

import (
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
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
	for place, task := range drain(t, q) {
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
