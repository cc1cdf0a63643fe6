package intake

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
)

// Cancel ends a job: each of its images without a result gets one that says so, and its bytes are removed. A worker that leases
// one of them later drops it, and one that has it in hand finds that another result stands. It returns the job as it is then.
func (in *Intake) Cancel(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	job, err := in.Tracker.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	ending, endCtx := errgroup.WithContext(ctx)
	ending.SetLimit(smallAtOnce)
	for _, image := range job.Images {
		if image.State == ocelli.ImageDone || image.State == ocelli.ImageFailed {
			continue
		}
		ending.Go(func() error {
			_, err := in.Results.Save(endCtx, ocelli.Result{
				Image: image.ID, Job: id, Name: image.Name, Labels: []ocelli.Label{},
				Error: ocelli.Errorf(ocelli.Cancelled, "%s was cancelled before its turn", image.Name),
			}, in.Tracker.Topic())
			if err != nil {
				return err
			}
			return in.Blobs.Delete(endCtx, ocelli.InputKey(id, image.ID))
		})
	}
	if err := ending.Wait(); err != nil {
		return nil, explain(err)
	}
	return in.Tracker.Wait(ctx, id)
}
