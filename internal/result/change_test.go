package result_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/result"
)

// ask looks at a job again and again for so long, as an open page does, and returns what it saw last.
func ask(t *testing.T, tracker *result.Tracker, id ocelli.JobID, within time.Duration) (*ocelli.Job, error) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Second) {
		job, err := tracker.Job(t.Context(), id)
		if err != nil || time.Now().After(end) {
			return job, err
		}
	}
}

// accept stores a job of one image with a result, as another node does, and returns its manifest.
func accept(t *testing.T, store *result.Store, id ocelli.JobID, r ocelli.Result) ocelli.Manifest {
	t.Helper()
	m := ocelli.Manifest{ID: id, Created: time.Now(), Images: []ocelli.Image{image(id, 1)}}
	if _, err := store.Save(t.Context(), r, ""); err != nil {
		t.Fatal(err)
	}
	if err := store.SaveManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAJobThatAnotherNodeDeletesIsForgottenAlsoWhileItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		tracker := track(t, store, nil)
		accept(t, store, one, resultOf(one, 1, "dog"))
		if job, err := ask(t, tracker, one, 2*time.Minute); err != nil || job.Done != 1 {
			t.Fatalf("the job is %+v, %v", job, err)
		}
		if err := store.Blobs.Delete(t.Context(), ocelli.ManifestKey(one), ocelli.OutputKey(one, ocelli.NewImageID(one, 1))); err != nil {
			t.Fatal(err)
		}
		if job, err := ask(t, tracker, one, 2*time.Minute); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.NotFound {
			t.Errorf("two minutes after another node deleted it the job is %+v, %v", job, err)
		}
	})
}

func TestAJobThatAnotherNodePutsBackRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		tracker := track(t, store, nil)
		failed := resultOf(one, 1, "dog")
		failed.Labels, failed.Error = nil, ocelli.Errorf(ocelli.GaveUp, "it was given up")
		m := accept(t, store, one, failed)
		if job, err := ask(t, tracker, one, time.Minute); err != nil || job.Failed != 1 {
			t.Fatalf("the job is %+v, %v", job, err)
		}
		if err := store.Blobs.Delete(t.Context(), ocelli.OutputKey(one, ocelli.NewImageID(one, 1))); err != nil {
			t.Fatal(err)
		}
		m.Retries++
		if err := store.ReplaceManifest(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if job, err := ask(t, tracker, one, 2*time.Minute); err != nil || job.State != ocelli.JobRunning || job.Failed != 0 {
			t.Errorf("two minutes after another node put it back the job is %+v, %v", job, err)
		}
		if _, err := store.Save(t.Context(), resultOf(one, 1, "dog"), ""); err != nil {
			t.Fatal(err)
		}
		if job, err := ask(t, tracker, one, 2*time.Minute); err != nil || job.Done != 1 {
			t.Errorf("once it has its new result the job is %+v, %v", job, err)
		}
	})
}

func TestAJobThatThisNodeTookInStaysWhileItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		tracker := track(t, store, nil)
		tracker.Keep = 24 * time.Hour
		begin(t, tracker, two, 1)
		if err := store.SaveManifest(t.Context(), ocelli.Manifest{ID: two, Created: time.Now(), Images: []ocelli.Image{image(two, 1)}}); err != nil {
			t.Fatal(err)
		}
		job, err := ask(t, tracker, two, 5*time.Minute)
		if err != nil || job.State != ocelli.JobRunning || job.Expires == nil || !job.Expires.Equal(job.Created.Add(24*time.Hour)) {
			t.Errorf("the job is %+v, %v", job, err)
		}
	})
}
