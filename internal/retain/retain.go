// Package retain is what happens to a job after its images have ended: what failed is tried again, what gave up is kept apart for people
// to look at, and all of it is deleted, by hand or when its time has come.
//
// Every change goes over several blobs, and a crash may come between any two of them. So what is to be done is written down first,
// under retries/ and doomed/, and removed last; [Janitor] ends what was begun and not ended.
package retain

import (
	"context"
	"errors"
	"fmt"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

const (
	doomedPrefix  = "doomed/"  // doomed/<job>: is being deleted, or was a while ago
	retriesPrefix = "retries/" // retries/<job>/<image>.json: is being put back; holds the result that it had
)

// Jobs are all jobs of a store. Its fields are set before first use; its methods may be called from any number of goroutines.
type Jobs struct {
	Blobs   blob.Store
	Results *result.Store
	Queue   queue.Queue
	Store   string // the identity of Blobs
	Topic   string // on which this process hears of results; "" where it does not
	Backlog int64  // images that may wait; at this many none is put back
	// Forget, where it is not nil, is called when a job has changed in the store.
	Forget func(ocelli.JobID)
}

// Delete removes all of a job: its manifest first, so that nobody ever sees part of it, then images, results and what else is kept
// of it. An image of it that waits is dropped by the worker that leases it. A job that is not there is no error.
//
// What was under way meanwhile, a worker that saves a result for one, may put something back. So the janitor deletes the job once more a
// while later, and until then its mark stays.
func (j *Jobs) Delete(ctx context.Context, id ocelli.JobID) error {
	if !id.Valid() {
		return fmt.Errorf("deleting job %.40q: it is not the id of a job", id)
	}
	// A full store takes no note: a deletion that breaks off then is ended by the sweep of what uploads left.
	if _, err := j.Blobs.Create(ctx, doomedPrefix+string(id), nil); err != nil && !errors.Is(err, blob.ErrFull) {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	if err := j.finishDelete(ctx, id); err != nil {
		return fmt.Errorf("deleting job %s: %w", id, err)
	}
	return nil
}

func (j *Jobs) finishDelete(ctx context.Context, id ocelli.JobID) error {
	m, err := j.Results.LoadManifest(ctx, id)
	if err != nil && !errors.Is(err, blob.ErrNotFound) && !errors.Is(err, result.ErrDamaged) {
		return err
	}
	if m != nil && m.Claim != "" {
		err = j.Blobs.Delete(ctx, m.Claim, ocelli.ManifestKey(id))
	} else {
		err = j.Blobs.Delete(ctx, ocelli.ManifestKey(id))
	}
	if err != nil {
		return err
	}
	if j.Forget != nil {
		j.Forget(id)
	}
	for _, prefix := range []string{"input/", "output/", "trials/", "webhooks/", ocelli.QuarantinePrefix, retriesPrefix} {
		if err := blob.DeleteAll(ctx, j.Blobs, prefix+string(id)+"/"); err != nil {
			return err
		}
	}
	return nil
}

// Quarantine returns up to most images that were given up and that whoever asks under ctx may see, in the order of their jobs.
func (j *Jobs) Quarantine(ctx context.Context, most int) ([]ocelli.Given, error) {
	all := []ocelli.Given{}
	var job ocelli.JobID
	visible := false
	for info, err := range j.Blobs.List(ctx, ocelli.QuarantinePrefix) {
		if err != nil {
			return nil, fmt.Errorf("reading the quarantine: %w", err)
		}
		image, ok := imageOf(info.Key)
		if !ok {
			continue
		}
		if of, _, _ := image.Split(); of != job {
			job = of
			if visible, err = j.visible(ctx, job); err != nil {
				return nil, err
			}
		}
		if !visible {
			continue
		}
		r, err := j.Results.Load(ctx, job, image)
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, result.ErrDamaged) {
			continue // it is being put back, or was not given up in the end; or nobody can tell
		}
		if err != nil {
			return nil, err
		}
		if r.Error == nil || r.Error.Code != ocelli.GaveUp {
			continue // it was cancelled, or done by another worker, at the last moment
		}
		if all = append(all, ocelli.Given{Image: image, Job: job, Name: r.Name, Error: r.Error, Worker: r.Worker, Since: info.Modified,
			Content: "/v1/images/" + string(image) + "/content"}); len(all) == most {
			break
		}
	}
	return all, nil
}
