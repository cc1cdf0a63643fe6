package result

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
)

// mostLooked bounds through how many jobs of all callers the list of one caller is looked for.
const mostLooked = 1000

// Recent returns the n jobs that were accepted last and that whoever asks under ctx may see, newest first; of a caller who may not see
// all, those among the last thousand of everybody. Ids begin with their time, so only the keys of a span of time are
// listed: the last half hour at first, and a longer one where that holds too few.
func (s *Store) Recent(ctx context.Context, n int) ([]ocelli.JobSummary, error) {
	var newest []ocelli.JobID
	keep := n
	if c := access.From(ctx); c != nil && !c.May(access.Admin) {
		keep = max(n, mostLooked)
	}
	for _, prefixes := range spans(time.Now()) {
		newest = newest[:0]
		for _, prefix := range prefixes {
			for info, err := range s.Blobs.List(ctx, prefix) {
				if err != nil {
					return nil, err
				}
				id := ocelli.JobID(strings.TrimSuffix(strings.TrimPrefix(info.Key, "jobs/"), ".json"))
				if !id.Valid() {
					continue
				}
				if newest = append(newest, id); len(newest) >= 2*keep {
					newest = slices.Delete(newest, 0, len(newest)-keep)
				}
			}
		}
		if len(newest) >= keep {
			break
		}
	}
	newest = newest[max(0, len(newest)-keep):]
	slices.Reverse(newest)
	jobs := []ocelli.JobSummary{}
	for _, id := range newest {
		if len(jobs) == n {
			break
		}
		job, err := s.summary(ctx, id)
		if errors.Is(err, blob.ErrNotFound) || errors.Is(err, ErrDamaged) {
			continue // it was deleted just now, or is not for this caller; or nobody can tell for whom it is
		}
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// spans are the prefixes of ever longer spans of time that end now, each in order of time: of 17 minutes to 35, of 9 hours to 18, of 12 days
// to 24, and all. An id begins with ten characters of its time in milliseconds, five bits each.
func spans(now time.Time) [][]string {
	const timeChars = 10
	var all [][]string
	for _, open := range []int{4, 5, 6} {
		span := time.Duration(1<<(5*open)) * time.Millisecond
		var prefixes []string
		for _, at := range []time.Time{now.Add(-span), now} {
			var id ulid.ULID
			if id.SetTime(ulid.Timestamp(at)) == nil {
				prefixes = append(prefixes, "jobs/"+id.String()[:timeChars-open])
			}
		}
		all = append(all, prefixes)
	}
	return append(all, []string{"jobs/"})
}

// summary counts what a job has, without reading its results.
func (s *Store) summary(ctx context.Context, id ocelli.JobID) (ocelli.JobSummary, error) {
	m, err := s.LoadManifest(ctx, id)
	if err != nil {
		return ocelli.JobSummary{}, err
	}
	if !access.MaySee(ctx, m.Owner) {
		return ocelli.JobSummary{}, fmt.Errorf("job %s: %w", id, blob.ErrNotFound)
	}
	job := ocelli.JobSummary{ID: id, Created: m.Created, Total: len(m.Images)}
	for _, err := range s.Blobs.List(ctx, ocelli.OutputPrefix(id)) {
		if err != nil {
			return job, err
		}
		job.Ended++
	}
	return job, nil
}
