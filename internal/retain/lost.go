package retain

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

// A queue can lose what it has accepted: its disk is damaged, somebody empties it, or it keeps nothing for longer than two weeks, as SQS does. The
// images would wait for ever, and their jobs with them. So the janitor looks for images that have bytes and no result at a time when no
// message can stand for them any more, and sends them again. Where it errs, because a count or a clock is wrong, an image is done twice, which
// harms nobody, and there are never more of those than the queue just then holds.

const (
	searchEvery = 24 * time.Hour  // how often the store is looked through for lost images, beyond once soon after the start
	lostAfter   = 5 * time.Minute // how long a job must have been as it is; it outweighs counts that lag behind, and clocks that differ
	soonTaken   = time.Minute     // where no message is older than this, none is of such a job
	mostAgain   = 10_000          // images sent in one search, or as many more as the last job has
)

// noneOld reports whether all that a queue holds was sent a moment ago. Where it does not know, only an empty one will do.
func noneOld(s queue.Stats) bool {
	return s.Backlog() == 0 || s.Oldest > 0 && s.Oldest < soonTaken
}

// search sends lost images again. It reports whether it has looked at all jobs; where it has not, because messages have been waiting for a while
// or because it has sent enough for once, it is to be called again.
func (j *Janitor) search(ctx context.Context) (whole bool, err error) {
	// The queue is asked first: of what was sent long ago and is not in it now, each result was there before the results are listed.
	stats, err := j.Jobs.Queue.Stats(ctx)
	if err != nil || !noneOld(stats) {
		return false, err
	}
	room := min(mostAgain, j.Jobs.Backlog-stats.Backlog())
	for id, err := range j.unanswered(ctx) {
		if err != nil || room <= 0 {
			return false, err
		}
		n, err := j.sendAgain(ctx, id)
		if errors.Is(err, result.ErrDamaged) {
			j.Log.Warn("a job is damaged, and what waits of it cannot be told; restore its manifest from a backup", "job", id, "error", err)
			continue
		}
		if err != nil {
			return false, err
		}
		room -= int64(n)
	}
	return true, nil
}

// unanswered yields the jobs that have an image with bytes and without a result. Images come in the same order in both lists, so one pass over
// each is enough.
func (j *Janitor) unanswered(ctx context.Context) iter.Seq2[ocelli.JobID, error] {
	return func(yield func(ocelli.JobID, error) bool) {
		next, stop := iter.Pull2(j.Jobs.Blobs.List(ctx, "output/"))
		defer stop()
		answered, last := "", ocelli.JobID("")
		for info, err := range j.Jobs.Blobs.List(ctx, "input/") {
			if err != nil {
				yield("", err)
				return
			}
			image, ok := imageOf(info.Key)
			id, _, _ := image.Split()
			if !ok || id == last {
				continue
			}
			for answered < ocelli.OutputKey(id, image) {
				info, err, more := next()
				if err != nil {
					yield("", err)
					return
				}
				if answered = info.Key; !more {
					answered = "~" // behind every key
				}
			}
			if answered == ocelli.OutputKey(id, image) {
				continue
			}
			if last = id; !yield(id, nil) {
				return
			}
		}
	}
}

// sendAgain sends the images of a job that have no result, unless the job has changed of late or has no manifest: then it is being uploaded,
// put back or deleted. It returns how many.
func (j *Janitor) sendAgain(ctx context.Context, id ocelli.JobID) (int, error) {
	settled := false
	for info, err := range j.Jobs.Blobs.List(ctx, ocelli.ManifestKey(id)) {
		if err != nil {
			return 0, err
		}
		settled = j.clock().Sub(info.Modified) > lostAfter
	}
	if !settled {
		return 0, nil
	}
	m, err := j.Jobs.Results.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	answered := map[string]bool{}
	for info, err := range j.Jobs.Blobs.List(ctx, ocelli.OutputPrefix(id)) {
		if err != nil {
			return 0, err
		}
		answered[info.Key] = true
	}
	var lost []ocelli.ImageID
	for _, image := range m.Images {
		if !answered[ocelli.OutputKey(id, image.ID)] {
			lost = append(lost, image.ID)
		}
	}
	if len(lost) == 0 {
		return 0, nil
	}
	if err := j.Jobs.send(ctx, m, lost); err != nil {
		return 0, err
	}
	j.Log.Warn("images had neither a result nor a message, so the queue has lost some; they are sent again", "job", id, "images", len(lost))
	return len(lost), nil
}
