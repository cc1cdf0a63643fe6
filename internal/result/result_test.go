package result_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

const (
	one ocelli.JobID = "01JD0000000000000000000001"
	two ocelli.JobID = "01JD0000000000000000000002"
)

func newStore() *result.Store { return &result.Store{Blobs: new(blob.Mem), Bus: notify.NewMem()} }

// track runs a tracker on the store until the test ends.
func track(t *testing.T, store *result.Store, seen func(ocelli.Result)) *result.Tracker {
	tracker := result.NewTracker(store, "result.node", slog.New(slog.DiscardHandler), seen)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = tracker.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return tracker
}

func image(job ocelli.JobID, place int) ocelli.Image {
	return ocelli.Image{ID: ocelli.NewImageID(job, place), Name: fmt.Sprint(place)}
}

func resultOf(job ocelli.JobID, place int, label string) ocelli.Result {
	return ocelli.Result{Image: ocelli.NewImageID(job, place), Job: job, Labels: []ocelli.Label{{Name: label, Score: 1}}}
}

// begin makes a job of n images.
func begin(t *testing.T, tracker *result.Tracker, job ocelli.JobID, n int) {
	t.Helper()
	tracker.Begin(ocelli.Manifest{ID: job, Created: time.Now()})
	for place := range n {
		tracker.Add(image(job, place+1))
	}
	if _, err := tracker.Settle(job); err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstOfManyResultsStandsAndAllAreToldOfIt(t *testing.T) {
	store := newStore()
	var all sync.WaitGroup
	stand := make([]string, 20)
	for i := range stand {
		all.Go(func() {
			r, err := store.Save(t.Context(), resultOf(one, 1, fmt.Sprint(i)), "")
			if err != nil {
				t.Error(err)
				return
			}
			stand[i] = r.Labels[0].Name
		})
	}
	all.Wait()
	for i := range stand {
		if stand[i] != stand[0] {
			t.Errorf("writer %d was told of result %s, writer 0 of %s", i, stand[i], stand[0])
		}
	}
	if r, err := store.Load(t.Context(), one, ocelli.NewImageID(one, 1)); err != nil || r.Labels[0].Name != stand[0] {
		t.Errorf("the store holds %+v, %v", r, err)
	}
}

func TestANoticeThatIsLostIsRepairedByReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		seen := 0
		tracker := track(t, store, func(ocelli.Result) { seen++ })
		begin(t, tracker, one, 2)
		for place := range 2 { // nobody is told
			if _, err := store.Save(t.Context(), resultOf(one, place+1, "x"), ""); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		job, err := tracker.Wait(t.Context(), one)
		if err != nil || job.Done != 2 {
			t.Fatalf("got %+v, %v", job, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the repair took %s", took)
		}
		if seen != 2 {
			t.Errorf("%d results were seen, want each once", seen)
		}
	})
}

func TestNoticesThatComeTwiceOrFromNowhereChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		seen := 0
		tracker := track(t, store, func(ocelli.Result) { seen++ })
		begin(t, tracker, one, 1)
		for _, body := range []string{
			"", "{", `{"image":"x"}`, `{"image":"01JD0000000000000000000001-0002","result":{}}`, `{"image":"01JD0000000000000000000009-0001","result":{}}`,
		} {
			if err := store.Bus.Publish(t.Context(), tracker.Topic(), []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		store.Started(t.Context(), ocelli.NewImageID(one, 1), tracker.Topic())
		synctest.Wait()
		if job, err := tracker.Job(t.Context(), one); err != nil || job.Images[0].State != ocelli.ImageRunning || job.State != ocelli.JobRunning {
			t.Errorf("in hand: %+v, %v", job, err)
		}
		for range 3 {
			if _, err := store.Save(t.Context(), resultOf(one, 1, "x"), tracker.Topic()); err != nil {
				t.Fatal(err)
			}
		}
		store.Started(t.Context(), ocelli.NewImageID(one, 1), tracker.Topic())
		synctest.Wait()
		job, err := tracker.Job(t.Context(), one)
		if err != nil || job.State != ocelli.JobDone || job.Done != 1 || job.Images[0].State != ocelli.ImageDone || seen != 1 {
			t.Errorf("got %+v, %v, seen %d", job, err, seen)
		}
	})
}

func TestAFinishedJobIsForgottenAndFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		tracker := track(t, store, nil)
		begin(t, tracker, one, 1)
		if err := store.SaveManifest(t.Context(), ocelli.Manifest{ID: one, Images: []ocelli.Image{image(one, 1)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Save(t.Context(), resultOf(one, 1, "x"), tracker.Topic()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 3 {
			job, err := tracker.Job(t.Context(), one)
			if err != nil || job.State != ocelli.JobDone || job.Images[0].Result.Labels[0].Name != "x" {
				t.Fatalf("got %+v, %v", job, err)
			}
			time.Sleep(time.Hour)
		}
	})
}

// even is a forecaster that takes a second for each image.
type even struct {
	mu           sync.Mutex
	promise, got time.Duration
}

func (e *even) Forecast(images int64) (eta, p90 time.Duration, known bool) {
	return time.Duration(images) * time.Second, 2 * time.Duration(images) * time.Second, true
}

func (e *even) Came(eta, took time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.promise, e.got = eta, took
}

// A job of 2 beside one of 100 is told the time of 4 images, since they take turns; and the one of 100 that of all 102.
func TestTheTimeToldForAJobKnowsOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		tracker := track(t, store, nil)
		forecaster := &even{}
		tracker.Forecaster = forecaster
		begin(t, tracker, one, 100)
		begin(t, tracker, two, 2)
		for job, want := range map[ocelli.JobID]time.Duration{one: 102 * time.Second, two: 4 * time.Second} {
			j, err := tracker.Job(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			if eta, p90 := time.Until(*j.ETA), time.Until(*j.ETAP90); eta != want || p90 != 2*want {
				t.Errorf("job %s is told %s and %s, want %s", job, eta, p90, want)
			}
		}
		time.Sleep(5 * time.Second)
		for place := range 2 {
			if _, err := store.Save(t.Context(), resultOf(two, place+1, "x"), tracker.Topic()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if j, err := tracker.Job(t.Context(), two); err != nil || j.ETA != nil {
			t.Errorf("a finished job is told a time: %+v, %v", j, err)
		}
		if forecaster.promise != 4*time.Second || forecaster.got != 5*time.Second {
			t.Errorf("promised %s, took %s", forecaster.promise, forecaster.got)
		}
	})
}

// More jobs than lanes: the last of 32 jobs of 10 is done when all are, and a single image after them waits for two of them in its lane
// while each other lane does as much. Jobs of one owner share their turns, so the first image of another owner does not wait for them.
func TestTheTimeToldForAJobKnowsOfTheLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tracker := track(t, newStore(), nil)
		tracker.Forecaster = &even{}
		jobs := 0
		add := func(owner string, images int) ocelli.JobID {
			jobs++
			id := ocelli.JobID(fmt.Sprintf("01JD%022d", jobs))
			tracker.Begin(ocelli.Manifest{ID: id, Owner: owner, Turn: jobs % ocelli.Turns})
			for place := range images {
				tracker.Add(ocelli.Image{ID: ocelli.NewImageID(id, place+1)})
			}
			return id
		}
		told := func(what string, id ocelli.JobID, want int) {
			t.Helper()
			j, err := tracker.Job(t.Context(), id)
			if err != nil || j.ETA == nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got := int(time.Until(*j.ETA) / time.Second); got != want {
				t.Errorf("%s is told that it is done when %d images are, want %d", what, got, want)
			}
		}
		first := add("", 10)
		for range 2*queue.Lanes - 2 {
			add("", 10)
		}
		last, single := add("", 10), add("", 1)
		told("the first job", first, 10*queue.Lanes)
		told("the last large job", last, 20*queue.Lanes)
		told("the single image", single, 20*queue.Lanes+1)
		for job := range jobs {
			tracker.Abandon(ocelli.JobID(fmt.Sprintf("01JD%022d", job+1)))
		}
		for range 60 {
			add("flood", 10)
		}
		told("another owner's image", add("modest", 1), 4) // one for each group of the flood, and its own
	})
}

func TestWhoFollowsHearsOfImagesInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		tracker := track(t, store, nil)
		begin(t, tracker, one, 3)
		var heard []string
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			for e := range tracker.Follow(t.Context(), one, "") {
				_, place, _ := e.Image.Split()
				what := "begun"
				if e.Result != nil {
					what = e.Result.Labels[0].Name
				}
				heard = append(heard, fmt.Sprint(place, " ", what, " ", e.Mark != ""))
			}
		}()
		synctest.Wait()
		step := func(do func()) {
			do()
			synctest.Wait()
		}
		step(func() { store.Started(t.Context(), ocelli.NewImageID(one, 2), tracker.Topic()) })
		step(func() { store.Started(t.Context(), ocelli.NewImageID(one, 2), tracker.Topic()) }) // by another worker
		step(func() { _, _ = store.Save(t.Context(), resultOf(one, 1, "owl"), tracker.Topic()) })
		step(func() { store.Started(t.Context(), ocelli.NewImageID(one, 1), tracker.Topic()) }) // too late
		step(func() { _, _ = store.Save(t.Context(), resultOf(one, 2, "fox"), tracker.Topic()) })
		step(func() { _, _ = store.Save(t.Context(), resultOf(one, 3, "elk"), tracker.Topic()) })
		<-followed
		want := []string{"2 begun false", "1 owl true", "2 fox true", "3 elk true"}
		if fmt.Sprint(heard) != fmt.Sprint(want) {
			t.Errorf("heard %q, want %q", heard, want)
		}
		var late []ocelli.ImageID
		for e := range tracker.Follow(t.Context(), one, "") {
			late = append(late, e.Image)
		}
		if len(late) != 3 {
			t.Errorf("who comes late hears of %v, want the three results alone", late)
		}
	})
}

// What a copy that broke off left of a result, or another image's, keeps nobody from having one. What cannot be read just now does.
func TestADamagedResultIsReplaced(t *testing.T) {
	mine := resultOf(one, 1, "dog")
	key := ocelli.OutputKey(one, mine.Image)
	for name, damage := range map[string]string{"cut short": `{"image":"` + string(mine.Image[:9]), "empty": "", "null": "null", "another's": `{"image":"x"}`, "endless": strings.Repeat(" ", 1<<20)} {
		store := newStore()
		if _, err := store.Blobs.Put(t.Context(), key, strings.NewReader(damage)); err != nil {
			t.Fatal(err)
		}
		for _, label := range []string{"dog", "cat"} { // of which the first stands
			r := mine
			r.Labels = []ocelli.Label{{Name: label, Score: 1}}
			if stands, err := store.Save(t.Context(), r, ""); err != nil || stands.Labels[0].Name != "dog" {
				t.Errorf("%s: %+v stands, %v", name, stands, err)
			}
		}
		if got, err := store.Load(t.Context(), one, mine.Image); err != nil || got.Labels[0].Name != "dog" {
			t.Errorf("%s: %+v is read, %v", name, got, err)
		}
	}

	blobs := new(blob.Mem)
	first := result.Store{Blobs: blobs, Bus: notify.NewMem()}
	if _, err := first.Save(t.Context(), mine, ""); err != nil {
		t.Fatal(err)
	}
	broken := result.Store{Bus: notify.NewMem(), Blobs: &blobtest.Faulty{Store: blobs, Plan: func(c blobtest.Call) blobtest.Fault {
		if c.Op == blobtest.Open {
			return blobtest.Failed
		}
		return blobtest.None
	}}}
	if _, err := broken.Save(t.Context(), resultOf(one, 1, "cat"), ""); !errors.Is(err, blobtest.ErrFault) {
		t.Errorf("a result that cannot be read: %v", err)
	}
	if got, err := first.Load(t.Context(), one, mine.Image); err != nil || got.Labels[0].Name != "dog" {
		t.Errorf("it is %+v afterwards, %v", got, err)
	}
}
