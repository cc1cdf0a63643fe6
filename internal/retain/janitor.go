package retain

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/result"
)

const (
	turnPrefix  = "janitor/"      // janitor/<number of the turn>: which process has it
	longestTurn = 5 * time.Minute // between two rounds
	mostJobs    = 500             // deleted in one round, so that a store which others use too is not held up
	settleTime  = time.Minute     // after which what was begun and not ended is taken for abandoned
	uploadTime  = 48 * time.Hour  // after which images without a job are taken for those of an upload that broke off; none takes half as long
	sweepEvery  = 24 * time.Hour  // how often the whole store is looked through for them
)

// Janitor ends what [Jobs] began and did not end, sends again what the queue has lost, and deletes what has been kept for long enough. Any
// number of processes may run one on the same store: they take turns, and in each one of them works. Its fields are set before [Janitor.Run].
type Janitor struct {
	Jobs       *Jobs
	Keep       time.Duration // from when a job was accepted until all of it is deleted; 0 is for ever
	KeepImages time.Duration // the same for its images alone; 0 is as long as the job
	Log        *slog.Logger
	// Took, where it is not nil, reports whether a job was or is being uploaded through this process. An upload under way is not swept,
	// whatever the clock says.
	Took func(ocelli.JobID) bool

	now      func() time.Time // nil for the clock
	swept    time.Time
	searchAt time.Time // when to look for lost images next
}

// Run works until ctx ends.
func (j *Janitor) Run(ctx context.Context) error {
	turn := j.turn()
	j.searchAt = j.clock().Add(2 * lostAfter) // when whatever was accepted before this start is old enough, also by another clock
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for {
		if mine, err := j.mine(ctx, turn); err != nil {
			j.warn(ctx, "the janitor could not take its turn", err)
		} else if mine {
			// A round that takes longer than its turn goes on in the next.
			round, cancel := context.WithTimeout(ctx, turn)
			j.round(round)
			cancel()
			j.lookForLost(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// turn is how long one process has the turn: a tenth of what is kept for the shortest time, within bounds.
func (j *Janitor) turn() time.Duration {
	shortest := longestTurn * 10
	for _, keep := range []time.Duration{j.Keep, j.KeepImages} {
		if keep > 0 {
			shortest = min(shortest, keep)
		}
	}
	return max(time.Second, shortest/10)
}

func (j *Janitor) clock() time.Time {
	if j.now != nil {
		return j.now()
	}
	return time.Now()
}

// mine reports whether this process has the turn: of all that ask the first one.
func (j *Janitor) mine(ctx context.Context, turn time.Duration) (bool, error) {
	key := fmt.Sprintf("%s%016x", turnPrefix, j.clock().UnixNano()/int64(turn))
	first, err := j.Jobs.Blobs.Create(ctx, key, nil)
	if errors.Is(err, blob.ErrFull) {
		return true, nil // there are no turns while the store is full: whoever can makes room
	}
	if err != nil || !first {
		return false, err
	}
	var past []string
	for info, err := range j.Jobs.Blobs.List(ctx, turnPrefix) {
		if err != nil {
			return true, nil // they will go with the next turn's
		}
		if info.Key < key {
			past = append(past, info.Key)
		}
	}
	_ = j.Jobs.Blobs.Delete(ctx, past...)
	return true, nil
}

// round does each kind of work once. What fails is tried again in the next round.
func (j *Janitor) round(ctx context.Context) {
	if err := j.finish(ctx); err != nil {
		j.warn(ctx, "what was begun could not be ended", err)
	}
	if err := j.expireJobs(ctx); err != nil {
		j.warn(ctx, "old jobs could not be deleted", err)
	}
	if err := j.expireImages(ctx); err != nil {
		j.warn(ctx, "old images could not be deleted", err)
	}
	if now := j.clock(); now.Sub(j.swept) >= sweepEvery {
		if err := j.sweep(ctx); err != nil {
			j.warn(ctx, "what broken uploads left could not be deleted", err)
			return
		}
		j.swept = now
	}
}

// lookForLost searches when it is time to. That is seldom, and may take longer than a turn: nothing happens if another process begins its own meanwhile.
func (j *Janitor) lookForLost(ctx context.Context) {
	if j.clock().Before(j.searchAt) {
		return
	}
	whole, err := j.search(ctx)
	if err != nil {
		j.warn(ctx, "images whose messages were lost could not be looked for", err)
	}
	if whole {
		j.searchAt = j.clock().Add(searchEvery)
	}
}

func (j *Janitor) warn(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		j.Log.Warn(what+"; trying again", "error", err)
	}
}

// finish ends retries whose process has gone, and deletions: see [Jobs.Delete].
func (j *Janitor) finish(ctx context.Context) error {
	var errs []error
	for info, err := range j.Jobs.Blobs.List(ctx, doomedPrefix) {
		if err != nil {
			return err
		}
		if id := ocelli.JobID(strings.TrimPrefix(info.Key, doomedPrefix)); id.Valid() && j.abandoned(info) {
			err := j.Jobs.finishDelete(ctx, id)
			if err == nil {
				err = j.Jobs.Blobs.Delete(ctx, info.Key)
			}
			errs = append(errs, err)
		}
	}
	retries := map[ocelli.JobID][]ocelli.ImageID{}
	for info, err := range j.Jobs.Blobs.List(ctx, retriesPrefix) {
		if err != nil {
			return err
		}
		if image, ok := imageOf(info.Key); ok && j.abandoned(info) {
			id, _, _ := image.Split()
			retries[id] = append(retries[id], image)
		}
	}
	for id, images := range retries {
		errs = append(errs, j.Jobs.putBack(ctx, id, images))
	}
	return errors.Join(errs...)
}

func (j *Janitor) abandoned(info blob.Info) bool { return j.clock().Sub(info.Modified) > settleTime }

// expireJobs deletes jobs that are older than they are kept, the oldest first. One that still waits for a result stays: what was accepted
// is not dropped because the workers have been away. One whose manifest is damaged goes in its turn: nobody can see it, or tell what it waits for.
func (j *Janitor) expireJobs(ctx context.Context) error {
	if j.Keep == 0 {
		return nil
	}
	var old []ocelli.JobID
	for info, err := range j.Jobs.Blobs.List(ctx, "jobs/") {
		if err != nil {
			return err
		}
		id := ocelli.JobID(strings.TrimSuffix(jobOf(info.Key, "jobs/"), ".json"))
		if !id.Valid() {
			continue
		}
		if j.age(id) < j.Keep || len(old) == mostJobs {
			break // the rest is younger, or has to wait
		}
		ended, err := j.ended(ctx, id)
		damaged := errors.Is(err, result.ErrDamaged)
		if err != nil && !damaged {
			return err
		}
		if ended || damaged {
			old = append(old, id)
		}
	}
	for _, id := range old {
		if err := j.Jobs.Delete(ctx, id); err != nil {
			return err
		}
		j.Log.Info("job deleted: it was kept for its time", "job", id, "kept", j.Keep)
	}
	return nil
}

// ended reports whether every image of a job has a result.
func (j *Janitor) ended(ctx context.Context, id ocelli.JobID) (bool, error) {
	m, err := j.Jobs.Results.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	results := 0
	for _, err := range j.Jobs.Blobs.List(ctx, ocelli.OutputPrefix(id)) {
		if err != nil {
			return false, err
		}
		results++
	}
	return results >= len(m.Images), nil
}

// expireImages deletes the bytes of images that are older than they are kept, save those that wait or are in quarantine.
func (j *Janitor) expireImages(ctx context.Context) error {
	if j.KeepImages == 0 || j.Keep > 0 && j.KeepImages >= j.Keep {
		return nil
	}
	return j.oldJobs(ctx, "input/", j.KeepImages, func(id ocelli.JobID) error {
		ended, err := j.ended(ctx, id)
		if errors.Is(err, result.ErrDamaged) {
			j.Log.Warn("a job is damaged and nobody can see it; restore its manifest from a backup, or it goes when it has been kept for its time", "job", id, "error", err)
			return nil
		}
		if err != nil || !ended {
			return err
		}
		held := map[string]bool{}
		for info, err := range j.Jobs.Blobs.List(ctx, ocelli.QuarantinePrefix+string(id)+"/") {
			if err != nil {
				return err
			}
			if image, ok := imageOf(info.Key); ok {
				held[ocelli.InputKey(id, image)] = true
			}
		}
		var keys []string
		for info, err := range j.Jobs.Blobs.List(ctx, "input/"+string(id)+"/") {
			if err != nil {
				return err
			}
			if !held[info.Key] {
				keys = append(keys, info.Key)
			}
		}
		return j.Jobs.Blobs.Delete(ctx, keys...)
	})
}

// sweep deletes what uploads left that broke off in a crash: images and results of no job. Jobs come in the same order in all lists, so
// one pass over each is enough.
func (j *Janitor) sweep(ctx context.Context) error {
	for _, prefix := range []string{"input/", "output/"} {
		next, stop := iter.Pull2(j.Jobs.Blobs.List(ctx, "jobs/"))
		job := ocelli.JobID("")
		err := j.oldJobs(ctx, prefix, uploadTime, func(id ocelli.JobID) error {
			for job < id {
				info, err, more := next()
				if err != nil {
					return err
				}
				if !more {
					job = "~" // behind every id
					break
				}
				job = ocelli.JobID(strings.TrimSuffix(jobOf(info.Key, "jobs/"), ".json"))
			}
			if job == id || j.Took != nil && j.Took(id) {
				return nil
			}
			if quiet, err := j.quiet(ctx, id); err != nil || !quiet {
				return err
			}
			j.Log.Info("what an upload left that broke off is deleted", "job", id)
			return j.Jobs.Delete(ctx, id)
		})
		stop()
		if err != nil {
			return err
		}
	}
	return nil
}

// quiet reports whether nothing of an upload has come for so long that it must have broken off. Its id alone does not tell: that of an ingested
// object is as old as the event that told of it, which may have waited for days.
func (j *Janitor) quiet(ctx context.Context, id ocelli.JobID) (bool, error) {
	for _, prefix := range []string{"input/", "output/"} {
		for info, err := range j.Jobs.Blobs.List(ctx, prefix+string(id)+"/") {
			if err != nil || j.clock().Sub(info.Modified) < uploadTime {
				return false, err
			}
		}
	}
	return true, nil
}

// oldJobs calls do for each job that is older than age and has something under the prefix, the oldest first.
func (j *Janitor) oldJobs(ctx context.Context, prefix string, age time.Duration, do func(ocelli.JobID) error) error {
	last := ocelli.JobID("")
	for info, err := range j.Jobs.Blobs.List(ctx, prefix) {
		if err != nil {
			return err
		}
		id := ocelli.JobID(jobOf(info.Key, prefix))
		if !id.Valid() || id == last {
			continue
		}
		if last = id; j.age(id) < age {
			return nil // the rest is younger
		}
		if err := do(id); err != nil {
			return err
		}
	}
	return nil
}

// age is how long ago a job was begun, which stands in its id.
func (j *Janitor) age(id ocelli.JobID) time.Duration {
	u, err := ulid.ParseStrict(string(id))
	if err != nil {
		return 0
	}
	return j.clock().Sub(ulid.Time(u.Time()))
}

// jobOf is the first part of a key behind the prefix.
func jobOf(key, prefix string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
	return first
}
