package retain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
	"github.com/ocelli/ocelli/internal/result"
)

// shop is a store with jobs.
type shop struct {
	*Jobs
	mem   *blob.Mem
	queue *queue.Mem
}

func newShop() *shop {
	mem, q := new(blob.Mem), queue.NewMem(time.Minute, 1000)
	s := &shop{mem: mem, queue: q}
	s.Jobs = on(mem, q)
	return s
}

// on returns the jobs of a store, as another process would have them.
func on(blobs blob.Store, q queue.Queue) *Jobs {
	return &Jobs{Blobs: blobs, Queue: q, Results: &result.Store{Blobs: blobs, Bus: notify.NewMem()}, Store: "store", Backlog: 100}
}

func idAt(at time.Time) ocelli.JobID {
	return ocelli.JobID(ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String())
}

// add makes a job of images that are done (d), damaged (x), given up (g) or refused (r, no bytes kept), or that wait (w).
func (s *shop) add(t *testing.T, at time.Time, images string) ocelli.JobID {
	t.Helper()
	ctx, id := t.Context(), idAt(at)
	m := ocelli.Manifest{ID: id, Owner: "alice", Created: at, Claim: "claims/" + string(id), Deadline: at.Add(time.Minute)}
	put := func(key, text string) {
		t.Helper()
		if _, err := s.mem.Put(ctx, key, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	put(m.Claim, string(id))
	for i, kind := range images {
		image := ocelli.NewImageID(id, i+1)
		m.Images = append(m.Images, ocelli.Image{ID: image, Name: fmt.Sprint(i, ".jpg")})
		if kind != 'r' {
			put(ocelli.InputKey(id, image), "bytes of "+string(image))
		}
		r := ocelli.Result{Image: image, Job: id, Name: m.Images[i].Name, Labels: []ocelli.Label{}, Worker: "w1", Attempt: 1}
		switch kind {
		case 'w':
			continue
		case 'd':
			r.Labels = []ocelli.Label{{Name: "dog", Score: 1}}
		case 'x':
			r.Error = ocelli.Errorf(ocelli.CorruptImage, "%s is damaged", r.Name)
		case 'r':
			r.Error = ocelli.Errorf(ocelli.UnsupportedType, "%s is no image", r.Name)
		case 'g':
			r.Error = ocelli.Errorf(ocelli.GaveUp, "%s was given up", r.Name)
			put(ocelli.QuarantineKey(id, image), "")
			put("trials/"+string(id)+"/"+string(image)+".0001", "")
		}
		if _, err := s.Results.Save(ctx, r, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Results.SaveManifest(ctx, m); err != nil {
		t.Fatal(err)
	}
	return id
}

// keys are all keys of the store that hold the text, less the turns of janitors.
func (s *shop) keys(t *testing.T, text string) []string {
	t.Helper()
	keys := []string{}
	for info, err := range s.mem.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.Key, text) && !strings.HasPrefix(info.Key, turnPrefix) {
			keys = append(keys, info.Key)
		}
	}
	return keys
}

// sent returns the images of the messages in the queue, once each, and takes them out.
func (s *shop) sent(t *testing.T) map[ocelli.ImageID]ocelli.Task {
	t.Helper()
	tasks := map[ocelli.ImageID]ocelli.Task{}
	for _, task := range queuetest.Drain(t, s.queue) {
		tasks[task.Image] = task
	}
	return tasks
}

// callsOf is how many calls of the store it takes to do something with a job of three images when none fails.
func callsOf(t *testing.T, do func(*Jobs, ocelli.JobID) error) int {
	t.Helper()
	s := newShop()
	id := s.add(t, time.Now(), "dxg")
	faulty := &blobtest.Faulty{Store: s.mem, Plan: func(blobtest.Call) blobtest.Fault { return blobtest.None }}
	if err := do(on(faulty, s.queue), id); err != nil || faulty.Calls() < 10 {
		t.Fatalf("without a fault: %v after %d calls", err, faulty.Calls())
	}
	return faulty.Calls()
}

// later is a janitor for whom what is being done now was abandoned.
func (s *shop) later() *Janitor {
	return &Janitor{Jobs: on(s.mem, s.queue), Log: slog.New(slog.DiscardHandler), now: func() time.Time { return time.Now().Add(2 * settleTime) }}
}

func TestDeleteLeavesNothingAndTouchesNoOther(t *testing.T) {
	s := newShop()
	id, other := s.add(t, time.Now(), "dxgrw"), s.add(t, time.Now(), "dg")
	before := s.keys(t, string(other))
	forgotten := ocelli.JobID("")
	s.Forget = func(id ocelli.JobID) { forgotten = id }
	if err := s.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{doomedPrefix + string(id)}, s.keys(t, string(id))); diff != "" || forgotten != id {
		t.Errorf("what is left of the job: %s", diff)
	}
	if diff := cmp.Diff(before, s.keys(t, string(other))); diff != "" {
		t.Error(diff)
	}
	if err := s.Delete(t.Context(), id); err != nil {
		t.Errorf("deleting it again: %v", err)
	}
	if err := s.Delete(t.Context(), "../x"); err == nil {
		t.Error("what is no id is deleted")
	}
}

// What comes late is deleted a while later, and then there is nothing at all.
func TestALateResultGoesWithItsJob(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "dw")
	if err := s.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Results.Save(t.Context(), ocelli.Result{Image: ocelli.NewImageID(id, 2), Job: id}, ""); err != nil {
		t.Fatal(err)
	}
	s.later().round(t.Context())
	if left := s.keys(t, string(id)); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// Whatever call fails, before or after it took effect, a job that can be seen is whole, and the janitor ends what was begun.
func TestDeleteIsBrokenOffAnywhere(t *testing.T) {
	for _, fault := range []blobtest.Fault{blobtest.Failed, blobtest.Lost} {
		for n := 1; n <= callsOf(t, func(j *Jobs, id ocelli.JobID) error { return j.Delete(t.Context(), id) }); n++ {
			s := newShop()
			id := s.add(t, time.Now(), "dxg")
			whole := s.keys(t, string(id))
			faulty := &blobtest.Faulty{Store: s.mem, Plan: func(c blobtest.Call) blobtest.Fault {
				if c.N == n {
					return fault
				}
				return blobtest.None
			}}
			err := on(faulty, s.queue).Delete(t.Context(), id)
			left := s.keys(t, string(id))
			if _, gone := s.Results.LoadManifest(t.Context(), id); gone == nil {
				var parts []string
				for _, key := range left {
					if !strings.HasPrefix(key, doomedPrefix) {
						parts = append(parts, key)
					}
				}
				if diff := cmp.Diff(whole, parts); diff != "" && err != nil {
					t.Errorf("call %d, %v: part of a job can be seen: %s", n, fault, diff)
				}
			}
			s.later().round(t.Context())
			left = s.keys(t, string(id))
			if begun := err == nil || len(left) != len(whole); begun && len(left) > 0 {
				t.Errorf("call %d, %v: after the janitor came there are %v", n, fault, left)
			}
		}
	}
}

func TestRetryPutsBackWhatFailed(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "dxgr")
	s.Topic = "here"
	n, err := s.Retry(t.Context(), id)
	if err != nil || n != 2 {
		t.Fatalf("put back are %d images: %v", n, err)
	}
	tasks := s.sent(t)
	for place, want := range []bool{false, true, true, false} {
		image := ocelli.NewImageID(id, place+1)
		task, sent := tasks[image]
		_, err := s.Results.Load(t.Context(), id, image)
		if sent != want || errors.Is(err, blob.ErrNotFound) != want {
			t.Errorf("image %d: sent %v, its result %v", place+1, sent, err)
		}
		if sent && (task.ReplyTo != "here" || task.Store != "store" || !task.Deadline.IsZero() || task.Name == "") {
			t.Errorf("image %d is sent as %+v", place+1, task)
		}
	}
	for _, key := range s.keys(t, string(id)) {
		for _, prefix := range []string{ocelli.QuarantinePrefix, "trials/", retriesPrefix} {
			if strings.HasPrefix(key, prefix) {
				t.Errorf("%s is left", key)
			}
		}
	}
	if m, err := s.Results.LoadManifest(t.Context(), id); err != nil || m.Retries != 1 || m.Owner != "alice" || len(m.Images) != 4 {
		t.Errorf("the manifest is %+v, %v", m, err)
	}
	if _, err := s.Retry(t.Context(), id); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.Conflict {
		t.Errorf("with nothing to put back: %v", err)
	}
	if len(s.sent(t)) > 0 {
		t.Error("and yet something is sent")
	}
}

func TestRetryOfOneImage(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "xgx")
	if n, err := s.Retry(t.Context(), id, ocelli.NewImageID(id, 2)); err != nil || n != 1 {
		t.Fatalf("put back are %d images: %v", n, err)
	}
	if tasks := s.sent(t); len(tasks) != 1 || tasks[ocelli.NewImageID(id, 2)].Name != "1.jpg" {
		t.Errorf("sent is %v", tasks)
	}
}

func TestRetryHoldsTheBacklog(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "x")
	s.Backlog = 0
	if _, err := s.Retry(t.Context(), id); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.Overloaded {
		t.Errorf("with a full queue: %v", err)
	}
}

// Whatever call fails, an image that has lost its result is sent, be it by the janitor.
func TestRetryIsBrokenOffAnywhere(t *testing.T) {
	for _, fault := range []blobtest.Fault{blobtest.Failed, blobtest.Lost} {
		for n := 1; n <= callsOf(t, func(j *Jobs, id ocelli.JobID) error { _, err := j.Retry(t.Context(), id); return err }); n++ {
			s := newShop()
			id := s.add(t, time.Now(), "dxg")
			faulty := &blobtest.Faulty{Store: s.mem, Plan: func(c blobtest.Call) blobtest.Fault {
				if c.N == n {
					return fault
				}
				return blobtest.None
			}}
			_, err := on(faulty, s.queue).Retry(t.Context(), id)
			s.later().round(t.Context())
			sent := s.sent(t)
			for place := 1; place <= 3; place++ {
				image := ocelli.NewImageID(id, place)
				_, none := s.Results.Load(t.Context(), id, image)
				if _, again := sent[image]; none != nil && !again || err == nil && again != (place > 1) {
					t.Errorf("call %d, %v: image %d was sent: %v, and its result is %v; retry said %v", n, fault, place, again, none, err)
				}
			}
			if left := s.keys(t, retriesPrefix); len(left) > 0 {
				t.Errorf("call %d, %v: left are %v", n, fault, left)
			}
		}
	}
}

// A retry that was broken off after it was sent, and is ended by the janitor when the image has a new result, leaves that alone.
func TestANewResultOutlivesTheJanitor(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "x")
	image := ocelli.NewImageID(id, 1)
	r, err := s.Results.Load(t.Context(), id, image)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	old, _ := json.Marshal(r)
	if _, err := s.mem.Create(t.Context(), retryKey(id, image), old); err != nil {
		t.Fatal(err)
	}
	r.Error, r.Labels = nil, []ocelli.Label{{Name: "dog"}}
	if _, err := s.Results.Save(t.Context(), *r, ""); err != nil {
		t.Fatal(err)
	}
	s.sent(t)
	s.later().round(t.Context())
	if now, err := s.Results.Load(t.Context(), id, image); err != nil || now.Error != nil || len(s.sent(t)) > 0 || len(s.keys(t, retriesPrefix)) > 0 {
		t.Errorf("the new result is %+v, %v", now, err)
	}
}

func TestQuarantineShowsWhatWasGivenUpToItsOwner(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "dgxg")
	as := func(owner string, scope access.Scope) context.Context {
		return access.With(t.Context(), &access.Caller{Key: &access.Key{Owner: owner, Scopes: []access.Scope{scope}}})
	}
	for _, test := range []struct {
		ctx  context.Context
		want int
	}{{t.Context(), 2}, {as("alice", access.Read), 2}, {as("bob", access.Read), 0}, {as("bob", access.Admin), 2}} {
		list, err := s.Quarantine(test.ctx, 10)
		if err != nil || len(list) != test.want {
			t.Errorf("%+v sees %v, %v", access.From(test.ctx), list, err)
		}
	}
	list, err := s.Quarantine(t.Context(), 1)
	if err != nil || len(list) != 1 || list[0].Image != ocelli.NewImageID(id, 2) || list[0].Error.Code != ocelli.GaveUp || list[0].Name != "1.jpg" {
		t.Errorf("the first is %+v, %v", list, err)
	}
}

func TestJobsAndImagesExpire(t *testing.T) {
	s := newShop()
	now := time.Now()
	days := func(n int) time.Time { return now.AddDate(0, 0, -n) }
	fresh, middle, old, waiting := s.add(t, days(1), "dg"), s.add(t, days(10), "dgx"), s.add(t, days(31), "dg"), s.add(t, days(40), "dw")
	j := s.later()
	j.Keep, j.KeepImages = 30*24*time.Hour, 7*24*time.Hour
	before := s.keys(t, string(fresh))
	stays := s.keys(t, string(waiting))
	j.round(t.Context())
	j.round(t.Context())
	if left := s.keys(t, string(old)); len(left) > 0 {
		t.Errorf("of the old job are left %v", left)
	}
	if diff := cmp.Diff(before, s.keys(t, string(fresh))); diff != "" {
		t.Errorf("the fresh job: %s", diff)
	}
	if diff := cmp.Diff(stays, s.keys(t, string(waiting))); diff != "" {
		t.Errorf("the job that waits: %s", diff)
	}
	want := []string{ocelli.InputKey(middle, ocelli.NewImageID(middle, 2))} // in quarantine
	if diff := cmp.Diff(want, s.keys(t, "input/"+string(middle))); diff != "" {
		t.Errorf("the images of the middle job: %s", diff)
	}
	if got := s.keys(t, "output/"+string(middle)); len(got) != 3 {
		t.Errorf("the results of the middle job: %v", got)
	}
}

// full is a store that has no room left.
type full struct{ blob.Store }

func (full) Create(context.Context, string, []byte) (bool, error) {
	return false, fmt.Errorf("writing: %w", blob.ErrFull)
}

func (full) Put(context.Context, string, io.Reader) (int64, error) {
	return 0, fmt.Errorf("writing: %w", blob.ErrFull)
}

func TestAFullStoreIsMadeRoomIn(t *testing.T) {
	s := newShop()
	old, byHand := s.add(t, time.Now().AddDate(0, 0, -31), "dg"), s.add(t, time.Now(), "dgw")
	jobs := on(full{s.mem}, s.queue)
	if err := jobs.Delete(t.Context(), byHand); err != nil {
		t.Error(err)
	}
	j := s.later()
	j.Jobs, j.Keep = jobs, 30*24*time.Hour
	if mine, err := j.mine(t.Context(), time.Minute); !mine || err != nil {
		t.Errorf("it has no turn: %v", err)
	}
	j.round(t.Context())
	for _, id := range []ocelli.JobID{old, byHand} {
		if left := s.keys(t, string(id)); len(left) > 0 {
			t.Errorf("of %s are left %v", id, left)
		}
	}
}

func TestForEverIsForEver(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now().AddDate(-5, 0, 0), "dgx")
	before := s.keys(t, string(id))
	s.later().round(t.Context())
	if diff := cmp.Diff(before, s.keys(t, string(id))); diff != "" {
		t.Error(diff)
	}
}

// One job of which nobody can tell what it was holds nothing else up, and goes when its time has come, or by hand.
func TestADamagedManifestHoldsNothingUp(t *testing.T) {
	for _, text := range []string{"", `{"id":"01`, "null", "{}"} {
		s := newShop()
		old := time.Now().Add(-1000 * time.Hour)
		damaged, behind, middle := s.add(t, old, "dg"), s.add(t, old.Add(time.Hour), "dd"), s.add(t, time.Now().Add(-2*time.Hour), "dg")
		unseen := s.add(t, time.Now().Add(-3*time.Hour), "dg")
		for _, id := range []ocelli.JobID{damaged, unseen} {
			if _, err := s.mem.Put(t.Context(), ocelli.ManifestKey(id), strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := s.Results.Recent(t.Context(), 10); err != nil || len(list) != 2 {
			t.Errorf("%q: the list holds %d jobs: %v", text, len(list), err)
		}
		if list, err := s.Quarantine(t.Context(), 10); err != nil || len(list) != 1 {
			t.Errorf("%q: in quarantine are %d images: %v", text, len(list), err)
		}
		j := s.later()
		j.Keep, j.KeepImages = 24*time.Hour, time.Hour
		j.round(t.Context())
		j.round(t.Context())
		for _, id := range []ocelli.JobID{damaged, behind} {
			if left := s.keys(t, string(id)); len(left) > 1 { // its claim, which nobody can tell any more
				t.Errorf("%q: of job %s are left %v", text, id, left)
			}
		}
		for id, want := range map[ocelli.JobID]int{unseen: 2, middle: 1} {
			if left := s.keys(t, "input/"+string(id)); len(left) != want {
				t.Errorf("%q: of the images of job %s are left %v", text, id, left)
			}
		}
		if err := s.Delete(t.Context(), unseen); err != nil {
			t.Errorf("%q: by hand: %v", text, err)
		}
	}
}

func TestWhatBrokenUploadsLeftIsSwept(t *testing.T) {
	s := newShop()
	put := func(key string) {
		if _, err := s.mem.Put(t.Context(), key, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	whole := s.add(t, time.Now().Add(-50*time.Hour), "dd")
	broken, young := idAt(time.Now().Add(-49*time.Hour)), idAt(time.Now().Add(-time.Hour))
	last := s.add(t, time.Now().Add(-48*time.Hour-time.Minute), "d")
	for _, id := range []ocelli.JobID{broken, young} {
		put(ocelli.InputKey(id, ocelli.NewImageID(id, 1)))
		put(ocelli.OutputKey(id, ocelli.NewImageID(id, 2)))
	}
	for _, turn := range []struct {
		after time.Duration
		want  map[ocelli.JobID]int
	}{
		{0, map[ocelli.JobID]int{broken: 2, young: 2, whole: 6, last: 4}}, // what came just now may be of an event that is as old
		{49 * time.Hour, map[ocelli.JobID]int{broken: 0, young: 0, whole: 6, last: 4}},
	} {
		for range 2 {
			j := s.later()
			j.now = func() time.Time { return time.Now().Add(turn.after + 6*time.Minute) }
			j.round(t.Context())
		}
		for id, want := range turn.want {
			if left := s.keys(t, string(id)); len(left) != want {
				t.Errorf("after %v: of %s are left %v, want %d", turn.after, id, left, want)
			}
		}
	}
}

// The clock of a machine that was suspended may leap. What this process is reading it sweeps for no clock.
func TestAnUploadUnderWayIsNotSwept(t *testing.T) {
	s := newShop()
	mine, lost := idAt(time.Now()), idAt(time.Now())
	for _, id := range []ocelli.JobID{mine, lost} {
		if _, err := s.mem.Put(t.Context(), ocelli.InputKey(id, ocelli.NewImageID(id, 1)), strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
	}
	tracker := result.NewTracker(s.Results, "here", slog.New(slog.DiscardHandler), nil)
	tracker.Begin(ocelli.Manifest{ID: mine})
	j := s.later()
	j.Took, j.now = tracker.Took, func() time.Time { return time.Now().Add(49 * time.Hour) }
	j.round(t.Context())
	if left := s.keys(t, "input/"); len(left) != 1 || !strings.Contains(left[0], string(mine)) {
		t.Errorf("left are %v", left)
	}
}

func TestOneOfManyJanitorsHasTheTurn(t *testing.T) {
	s := newShop()
	at := time.Now()
	turns := 0
	for turn := range 3 {
		for range 5 {
			j := &Janitor{Jobs: on(s.mem, s.queue), now: func() time.Time { return at.Add(time.Duration(turn) * time.Minute) }}
			mine, err := j.mine(t.Context(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if mine {
				turns++
			}
		}
	}
	if turns != 3 {
		t.Errorf("in 3 turns there were %d janitors", turns)
	}
	n := 0
	for range s.mem.List(t.Context(), turnPrefix) {
		n++
	}
	if n != 1 {
		t.Errorf("%d turns are kept", n)
	}
}
