package intake

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// Cancel ends a job: each of its images without a result gets one that says so, and its bytes are removed. It returns the job as it
// is then.
func (in *Intake) Cancel(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	return in.end(ctx, id, ocelli.Errorf(ocelli.Cancelled, "was cancelled before its turn"), func(image ocelli.ImageID) error {
		return in.Blobs.Delete(ctx, ocelli.InputKey(id, image))
	})
}

// overdueEvery is how often jobs are looked through for deadlines that have passed.
const overdueEvery = time.Second

// Run ends the jobs of this node whose deadline has passed, until ctx ends. Workers do the same with each image that they lease too
// late; this is for images that no worker leases.
func (in *Intake) Run(ctx context.Context) error {
	tick := time.NewTicker(overdueEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, id := range in.Tracker.Overdue(time.Now()) {
			_, err := in.end(ctx, id, ocelli.Errorf(ocelli.DeadlineExceeded, "had no turn before the deadline of its job: send it again with more time"),
				func(ocelli.ImageID) error { return nil }) // its bytes stay, for another try
			if err != nil && ocelli.AsError(err) == nil && ctx.Err() == nil {
				in.Log.Warn("a job past its deadline could not be ended; trying again", "job", id, "error", err)
			}
		}
	}
}

// end gives each image of a job without a result one with the fault, a sentence that lacks its subject, and calls ended for it. A
// worker that leases one of them later finds that a result stands, and one that has it in hand finds that another
// result stands.
func (in *Intake) end(ctx context.Context, id ocelli.JobID, fault *ocelli.Error, ended func(ocelli.ImageID) error) (*ocelli.Job, error) {
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
				Error: ocelli.Errorf(fault.Code, "%s %s", image.Name, fault.Message),
			}, in.Tracker.Topic())
			if err != nil || stands.Error == nil || stands.Error.Code != fault.Code {
				return err // or it was done in the meantime
			}
			return ended(image.ID)
		})
	}
	if err := ending.Wait(); err != nil {
		return nil, explain(err)
	}
	return in.Tracker.Wait(ctx, id)
}
