package result_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
)

func TestTheNewestJobsAreListedHoweverOldTheyAre(t *testing.T) {
	store := newStore()
	var ids []ocelli.JobID // newest first
	for place, age := range []time.Duration{0, time.Minute, 20 * time.Minute, 10 * time.Hour, 20 * 24 * time.Hour, 9000 * time.Hour} {
		id := ocelli.JobID(ulid.MustNew(ulid.Timestamp(time.Now().Add(-age)), ulid.DefaultEntropy()).String())
		ids = append(ids, id)
		m := ocelli.Manifest{ID: id, Created: time.Now().Add(-age).UTC()}
		for i := range place + 1 {
			m.Images = append(m.Images, image(id, i+1))
		}
		if err := store.SaveManifest(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Save(t.Context(), resultOf(ids[2], 2, "dog"), ""); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= len(ids)+1; n++ {
		jobs, err := store.Recent(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		var got []ocelli.JobID
		for place, job := range jobs {
			got = append(got, job.ID)
			if ended := map[int]int{2: 1}[place]; job.Total != place+1 || job.Ended != ended || job.Created.IsZero() {
				t.Errorf("job %d of %d is listed as %+v", place, n, job)
			}
		}
		if diff := cmp.Diff(ids[:min(n, len(ids))], got); diff != "" {
			t.Errorf("the newest %d: %s", n, diff)
		}
	}
}
