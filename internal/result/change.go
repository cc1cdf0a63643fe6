package result

import (
	"context"
	"time"

	"github.com/ocelli/ocelli"
)

// recheckEvery is how long a node may show a job that another node has deleted or put back.
const recheckEvery = 30 * time.Second

// Forget makes the tracker read a job anew when somebody asks for it again: it has changed in the store. Whoever watches it is let go.
func (t *Tracker) Forget(id ocelli.JobID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if job := t.jobs[id]; job != nil && job.settled {
		t.drop(job)
		close(job.changed)
	}
}

// stale returns jobs whose manifest should be looked at again: those that somebody has asked for, or waits for, since it was last.
func (t *Tracker) stale(now time.Time) []ocelli.JobID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []ocelli.JobID
	for id, job := range t.jobs {
		if job.settled && now.Sub(job.checked) > recheckEvery && (job.waiting > 0 || job.touched.After(job.checked)) {
			job.checked = now
			ids = append(ids, id)
		}
	}
	return ids
}

// stamp tells one state of a job's manifest in the store from another. It is zero where there is none.
type stamp struct{ size, modified int64 }

// recheck forgets a job that another process has deleted or put back.
func (t *Tracker) recheck(ctx context.Context, id ocelli.JobID) {
	now, err := t.stampOf(ctx, id)
	if err != nil {
		return // the store does not answer: the next look will tell
	}
	t.mu.Lock()
	job := t.jobs[id]
	if job == nil || job.stamp == now && now != (stamp{}) {
		t.mu.Unlock()
		return
	}
	// A job that this node took in has no stamp at first, and for a moment no manifest.
	first, known := job.stamp == stamp{} && !job.absent, job.manifest.Retries
	job.stamp, job.absent = now, now == stamp{}
	t.mu.Unlock()
	if first && now != (stamp{}) {
		m, err := t.store.LoadManifest(ctx, id)
		first = err == nil && m.Retries == known
	}
	if !first {
		t.Forget(id)
	}
}

func (t *Tracker) stampOf(ctx context.Context, id ocelli.JobID) (stamp, error) {
	for info, err := range t.store.Blobs.List(ctx, ocelli.ManifestKey(id)) {
		return stamp{info.Size, info.Modified.UnixNano()}, err
	}
	return stamp{}, nil
}
