package intake

import (
	"context"
	"iter"
	"time"

	"github.com/ocelli/ocelli"
)

// Recognise accepts the uploads as the images of job and returns the result of each image, in the order of upload, once all are there: for
// protocols that know one request and one answer. The images go the way of all others, so a crash costs time and no image.
//
// Errors are those of [Intake.Submit], and an [ocelli.Error] with code Unavailable where results are missing after wait.
func (in *Intake) Recognise(ctx context.Context, job ocelli.Manifest, uploads iter.Seq2[Upload, error], wait time.Duration) ([]ocelli.Result, error) {
	m, err := in.Submit(ctx, job, uploads)
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	results := make([]ocelli.Result, len(m.Images))
	missing := len(results)
	for _, r := range in.Tracker.Watch(waiting, job.ID, "") {
		if _, place, ok := r.Image.Split(); ok && place <= len(results) {
			results[place-1] = r
			missing--
		}
	}
	switch {
	case missing == 0:
		return results, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, ocelli.Errorf(ocelli.Unavailable, "no worker has recognised all images of the request within %s: their results will be at /v1/jobs/%s", wait, job.ID)
}
