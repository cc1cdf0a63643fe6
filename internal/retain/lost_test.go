package retain

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
)

// counted is a queue that counts as it is told to.
type counted struct {
	queue.Queue
	stats queue.Stats
}

func (q counted) Stats(context.Context) (queue.Stats, error) { return q.stats, nil }

// searcher is a janitor for whom all jobs have been as they are for a while.
func (s *shop) searcher() *Janitor {
	j := s.later()
	j.now = func() time.Time { return time.Now().Add(2 * lostAfter) }
	return j
}

// search searches once, and returns what is sent.
func (s *shop) search(t *testing.T, j *Janitor, whole bool) map[ocelli.ImageID]ocelli.Task {
	t.Helper()
	if got, err := j.search(t.Context()); got != whole || err != nil {
		t.Errorf("all jobs were looked at: %v, %v; want %v", got, err, whole)
	}
	return s.sent(t)
}

func TestWhatTheQueueLostIsSentAgain(t *testing.T) {
	s := newShop()
	s.add(t, time.Now(), "dxgr")
	id := s.add(t, time.Now(), "dwxwr")
	s.add(t, time.Now(), "dd")
	j := s.searcher()
	j.Jobs.Topic = "here"
	tasks := s.search(t, j, true)
	for place := 1; place <= 5; place++ {
		image := ocelli.NewImageID(id, place)
		task, sent := tasks[image]
		if want := place == 2 || place == 4; sent != want {
			t.Errorf("image %d is sent: %v", place, sent)
		}
		if sent && (task.ReplyTo != "here" || task.Store != "store" || task.Deadline.IsZero() || task.Name != fmt.Sprint(place-1, ".jpg")) {
			t.Errorf("image %d is sent as %+v", place, task)
		}
	}
	if len(tasks) != 2 {
		t.Errorf("sent are %v", tasks)
	}
	// What is lost again within the time in which a queue tells repeats is sent again all the same.
	if again := s.search(t, j, true); len(again) != 2 {
		t.Errorf("the second time are sent %v", again)
	}
}

// Nothing is sent for as long as a message may stand for it.
func TestNothingIsSentWhileAMessageMayWait(t *testing.T) {
	for name, test := range map[string]struct {
		stats queue.Stats
		sends bool
	}{
		"empty":                     {queue.Stats{Exact: true}, true},
		"empty, about":              {queue.Stats{}, true},
		"busy, with fresh messages": {queue.Stats{Ready: 5, Leased: 20, Oldest: time.Second, Exact: true}, true},
		"behind":                    {queue.Stats{Ready: 5, Oldest: time.Hour, Exact: true}, false},
		"one has long been in hand": {queue.Stats{Leased: 1, Oldest: time.Hour, Exact: true}, false},
		"of an age not known":       {queue.Stats{Leased: 1}, false},
		"full":                      {queue.Stats{Ready: 100, Oldest: time.Second, Exact: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop()
			s.add(t, time.Now(), "w")
			j := s.searcher()
			j.Jobs.Queue = counted{s.queue, test.stats}
			if sent := s.search(t, j, test.sends); len(sent) > 0 != test.sends {
				t.Errorf("sent are %v", sent)
			}
		})
	}
}

// Of a job that is being uploaded, put back or deleted, or was only just, nothing is sent; and a damaged one keeps no other waiting.
func TestOnlyOfSettledJobsIsAnythingSentAgain(t *testing.T) {
	s := newShop()
	upload, damaged, deleted, lost := s.add(t, time.Now(), "w"), s.add(t, time.Now(), "w"), s.add(t, time.Now(), "w"), s.add(t, time.Now(), "w")
	if err := s.mem.Delete(t.Context(), ocelli.ManifestKey(upload)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.mem.Put(t.Context(), ocelli.ManifestKey(damaged), strings.NewReader("{")); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	if sent := s.search(t, s.later(), true); len(sent) > 0 {
		t.Errorf("of young jobs are sent %v", sent)
	}
	if sent := s.search(t, s.searcher(), true); len(sent) != 1 || sent[ocelli.NewImageID(lost, 1)].Name == "" {
		t.Errorf("sent are %v, and only of job %s should be", sent, lost)
	}
}

// One search sends no more than may wait, and the next one goes on.
func TestASearchIsBounded(t *testing.T) {
	s := newShop()
	for range 5 {
		s.add(t, time.Now(), "www")
	}
	j := s.searcher()
	j.Jobs.Backlog = 4
	for _, want := range []int{6, 6, 3} {
		sent := s.search(t, j, want == 3)
		if len(sent) != want {
			t.Errorf("%d images are sent, want %d", len(sent), want)
		}
		for image, task := range sent {
			if _, err := s.Results.Save(t.Context(), ocelli.Result{Image: image, Job: task.Job()}, ""); err != nil {
				t.Error(err)
			}
		}
	}
	if sent := s.search(t, j, true); len(sent) > 0 {
		t.Errorf("when all is well are sent %v", sent)
	}
}

// listing counts how often all images are listed.
type listing struct {
	blob.Store
	images atomic.Int64
}

func (l *listing) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	if prefix == "input/" {
		l.images.Add(1)
	}
	return l.Store.List(ctx, prefix)
}

// The janitor looks soon after its start, as soon as the queue is not behind, and then seldom.
func TestTheJanitorLooksForLostImages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		store := &listing{Store: s.mem}
		lost := s.add(t, time.Now(), "dw")
		if err := s.queue.Send(t.Context(), queue.Message{ID: "waits", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		j := &Janitor{Jobs: on(store, s.queue), Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- j.Run(ctx) }()
		time.Sleep(time.Hour)
		if stats, err := s.queue.Stats(t.Context()); err != nil || stats.Backlog() != 1 {
			t.Errorf("%d messages wait behind an old one: %v", stats.Backlog(), err)
		}
		ds, err := s.queue.Receive(t.Context(), 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.queue.Ack(t.Context(), ds...); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * longestTurn)
		sent := s.sent(t)
		if _, ok := sent[ocelli.NewImageID(lost, 2)]; len(sent) != 1 || !ok {
			t.Errorf("sent are %v", sent)
		}
		before := store.images.Load()
		time.Sleep(3 * 24 * time.Hour)
		if looks := store.images.Load() - before; looks > 7 { // three of these, and of the sweep
			t.Errorf("in three days the store was looked through %d times", looks)
		}
		if sent := s.sent(t); len(sent) != 1 {
			t.Errorf("lost again, sent are %v", sent)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
