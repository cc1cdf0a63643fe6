package intake

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// Cancel ends a job: each of its images without a result gets one that says so, and its bytes are removed. A worker that leases
// one of them later finds that a result stands, and one that has it in hand finds that another result stands. It returns the job as it is then.
func (in *Intake) Cancel(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	job, err := in.Tracker.Job(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := in.Results.LoadManifest(ctx, id); errors.Is(err, blob.ErrNotFound) {
		return nil, ocelli.Errorf(ocelli.Conflict, "the job is still being uploaded: break off the upload, or cancel it later")
	} else if err != nil {
		return nil, explain(err)
	}
	ending, endCtx := errgroup.WithContext(ctx)
	ending.SetLimit(smallAtOnce)
	for _, image := range job.Images {
		if image.State == ocelli.ImageDone || image.State == ocelli.ImageFailed {
			continue
		}
		ending.Go(func() error {
			stands, err := in.Results.Save(endCtx, ocelli.Result{
				Image: image.ID, Job: id, Name: image.Name, Labels: []ocelli.Label{},
				Error: ocelli.Errorf(ocelli.Cancelled, "%s was cancelled before its turn", image.Name),
			}, in.Tracker.Topic())
			if err != nil || stands.Error == nil || stands.Error.Code != ocelli.Cancelled {
				return err // or it was done in the meantime, and keeps its bytes
			}
			return in.Blobs.Delete(endCtx, ocelli.InputKey(id, image.ID))
		})
	}
	if err := ending.Wait(); err != nil {
		return nil, explain(err)
	}
	return in.Tracker.Wait(ctx, id)
}
