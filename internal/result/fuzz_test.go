package result

import (
	"log/slog"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
)

// Anybody on the bus can send a notice: it changes no image but the one that it names, and never crashes.
func FuzzNotice(f *testing.F) {
	const id ocelli.JobID = "01JD0000000000000000000001"
	f.Add([]byte(`{"image":"01JD0000000000000000000001-0001","started":true}`))
	f.Add([]byte(`{"image":"01JD0000000000000000000001-0001","result":{"image":"01JD0000000000000000000001-0001","labels":[]}}`))
	f.Add([]byte(`{"image":"01JD0000000000000000000001-0002","result":{"image":"01JD0000000000000000000001-0001"}}`))
	f.Add([]byte(`{"image":"01JD0000000000000000000001-9999","result":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tracker := NewTracker(&Store{}, "test", slog.New(slog.DiscardHandler), nil)
		tracker.Begin(ocelli.Manifest{ID: id, Created: time.Now()})
		for place := range 2 {
			tracker.Add(ocelli.Image{ID: ocelli.NewImageID(id, place+1), Name: "x"})
		}
		tracker.hear(body)
		job, err := tracker.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if job.Total != 2 || job.Done+job.Failed > 1 {
			t.Errorf("after %q the job is %+v", body, job)
		}
		for _, image := range job.Images {
			if image.Result != nil && image.Result.Image != image.ID {
				t.Errorf("after %q %s has the result of %s", body, image.ID, image.Result.Image)
			}
		}
	})
}
