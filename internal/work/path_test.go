package work_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"iter"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/work"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

const lease = 10 * time.Second

// service is the whole path of an image in this process, on seams in memory.
type service struct {
	blobs   blob.Store
	queue   queue.Queue
	bus     notify.Bus
	tracker *result.Tracker
	intake  *intake.Intake
	decoder work.Decoder
}

func newService(blobs blob.Store, q queue.Queue) *service {
	s := &service{blobs: blobs, queue: q, bus: notify.NewMem(), decoder: decode.New(decode.Limits{})}
	results := &result.Store{Blobs: blobs, Bus: s.bus}
	store, err := blob.Identity(context.Background(), blobs)
	if err != nil { // a fault was planned; a node that cannot start is started again
		store, _ = blob.Identity(context.Background(), blobs)
	}
	s.tracker = result.NewTracker(results, "result.test", slog.New(slog.DiscardHandler), nil)
	s.intake = &intake.Intake{
		Blobs: blobs, Queue: q, Results: results, Tracker: s.tracker,
		Limits: intake.Limits{ImageBytes: 1 << 20, JobImages: 100, Backlog: 1000}, Store: store, Log: slog.New(slog.DiscardHandler),
	}
	return s
}

// worker returns a worker of the service.
func (s *service) worker(name string) *work.Worker {
	return &work.Worker{
		Config: work.Config{Name: name, Concurrency: 2, Lease: lease, LeaseWait: time.Second,
			MaxAttempts: 3, MaxBytes: 1 << 20, ImageTime: 30 * time.Second},
		Queue: s.queue, Blobs: s.blobs, Results: &result.Store{Blobs: s.blobs, Bus: s.bus},
		Decoder: s.decoder, Classifier: classify.Echo{}, Reporter: worktest.Nobody{}, Log: slog.New(slog.DiscardHandler),
	}
}

// start runs the tracker and n workers until the test's context ends, and waits for them when the test does.
func (s *service) start(t *testing.T, n int) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		for range n + 1 {
			<-done
		}
	})
	go func() { _ = s.tracker.Run(ctx); done <- struct{}{} }()
	for i := range n {
		go func() { _ = s.worker(fmt.Sprintf("w%d", i+1)).Run(ctx, nil); done <- struct{}{} }()
	}
	synctest.Wait() // the tracker listens
	return ctx
}

var (
	red   = worktest.Picture(color.RGBA{R: 255, A: 255}, 8, 8)
	green = worktest.Picture(color.RGBA{G: 255, A: 255}, 8, 8)
	blue  = worktest.Picture(color.RGBA{B: 255, A: 255}, 8, 8)
)

// files are uploads: name, bytes, name, bytes…
func files(pairs ...any) iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(intake.Upload{Name: pairs[i].(string), Body: bytes.NewReader(pairs[i+1].([]byte))}, nil) {
				return
			}
		}
	}
}

// submit sends files in as one job.
func (s *service) submit(t *testing.T, pairs ...any) ocelli.JobID {
	t.Helper()
	m := intake.NewJob()
	if _, err := s.intake.Submit(t.Context(), m, files(pairs...)); err != nil {
		t.Fatal(err)
	}
	return m.ID
}

// ended waits for the end of a job.
func (s *service) ended(t *testing.T, id ocelli.JobID) *ocelli.Job {
	t.Helper()
	job, err := s.tracker.Wait(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// outcome is what became of each image in the order of upload: a label or an error code.
func outcome(job *ocelli.Job) string {
	var words []string
	for _, i := range job.Images {
		switch {
		case i.Error != nil:
			words = append(words, i.Name+"="+string(i.Error.Code))
		case i.Result != nil:
			words = append(words, i.Name+"="+i.Result.Labels[0].Name)
		default:
			words = append(words, i.Name+"="+string(i.State))
		}
	}
	return strings.Join(words, " ")
}

func TestEveryImageEndsWithItsOwnResultInTheOrderOfUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		s.start(t, 2)
		id := s.submit(t, "a.png", red, "notes.jpg", []byte("dear diary"), "a.png", blue,
			"empty.png", []byte{}, "cut.png", green[:40], "../../etc/passwd", green)
		job := s.ended(t, id)
		const want = "a.png=red notes.jpg=unsupported_type a.png=blue empty.png=empty_file cut.png=corrupt_image passwd=green"
		if got := outcome(job); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if job.State != ocelli.JobDone || job.Total != 6 || job.Done != 3 || job.Failed != 3 {
			t.Errorf("got state %s, total %d, done %d, failed %d", job.State, job.Total, job.Done, job.Failed)
		}
		r := job.Images[0].Result
		if r.Image != ocelli.NewImageID(id, 1) || r.Job != id || r.Width != 8 || r.Height != 8 || r.Attempt != 1 || r.Model.Name != "echo" {
			t.Errorf("the result says too little, or something wrong: %+v", r)
		}
		if m := job.Images[1].Error.Message; m != "notes.jpg is not an image: it begins like plain text" {
			t.Errorf("the error of the text file reads %q", m)
		}
	})
}

// One fault at a time, of every call of the store and of each kind: whatever is accepted ends with exactly one result, and
// the right one.
func TestNoSingleFaultOfTheStoreLosesOrMixesUpAnImage(t *testing.T) {
	const want = "r.png=red t.txt=unsupported_type b.png=blue g.png=green"
	uploads := func() iter.Seq2[intake.Upload, error] {
		return files("r.png", red, "t.txt", []byte("text"), "b.png", blue, "g.png", green)
	}
	run := func(t *testing.T, plan func(blobtest.Call) blobtest.Fault) (calls int) {
		synctest.Test(t, func(t *testing.T) {
			faulty := &blobtest.Faulty{Store: new(blob.Mem), Plan: plan}
			s := newService(faulty, queue.NewMem(lease, 1000))
			ctx := s.start(t, 2)
			m := intake.NewJob()
			id := m.ID
			if _, err := s.intake.Submit(ctx, m, uploads()); err != nil {
				if !errors.Is(err, blobtest.ErrFault) {
					t.Errorf("refused for another reason than the fault: %v", err)
				}
				time.Sleep(time.Minute) // virtual: whatever was queued comes to its end
				if stats, _ := s.queue.Stats(ctx); stats.Backlog() != 0 {
					t.Errorf("a job that was refused left %d messages", stats.Backlog())
				}
				return
			}
			wait, cancel := context.WithTimeout(ctx, 10*time.Minute)
			defer cancel()
			job, err := s.tracker.Wait(wait, id)
			if err != nil {
				t.Fatal(err)
			}
			if got := outcome(job); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			time.Sleep(time.Minute)
			if stats, _ := s.queue.Stats(ctx); stats.Backlog() != 0 {
				t.Errorf("%d messages are left", stats.Backlog())
			}
			calls = faulty.Calls()
		})
		return calls
	}
	calls := run(t, func(blobtest.Call) blobtest.Fault { return blobtest.None })
	if calls < 10 {
		t.Fatalf("only %d calls: the test looks at nothing", calls)
	}
	for n := 1; n <= calls; n++ {
		for _, fault := range []blobtest.Fault{blobtest.Failed, blobtest.Lost} {
			t.Run(fmt.Sprintf("call %d fault %d", n, fault), func(t *testing.T) {
				run(t, func(c blobtest.Call) blobtest.Fault {
					if c.N == n {
						return fault
					}
					return blobtest.None
				})
			})
		}
	}
}

func TestNoSingleFaultOfTheQueueLosesAnImage(t *testing.T) {
	for _, op := range []queuetest.Op{queuetest.Receive, queuetest.Ack, queuetest.Extend, queuetest.Nack} {
		for _, fault := range []queuetest.Fault{queuetest.Before, queuetest.After} {
			t.Run(fmt.Sprintf("%s %d", op, fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					faulty := queuetest.NewFaulty(queue.NewMem(lease, 1000))
					faulty.Fail(op, fault, fault)
					s := newService(new(blob.Mem), faulty)
					ctx := s.start(t, 1)
					id := s.submit(t, "r.png", red, "g.png", green)
					if got, want := outcome(s.ended(t, id)), "r.png=red g.png=green"; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
					time.Sleep(2 * lease)
					if stats, _ := s.queue.Stats(ctx); stats.Backlog() != 0 {
						t.Errorf("%d messages are left", stats.Backlog())
					}
				})
			})
		}
	}
}

// A sender whose Send failed is told, and nothing of the job is left to be worked on.
func TestWhatCannotBeQueuedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faulty := queuetest.NewFaulty(queue.NewMem(lease, 1000))
		faulty.Fail(queuetest.Send, queuetest.After)
		store := new(blob.Mem)
		s := newService(store, faulty)
		ctx := s.start(t, 1)
		m := intake.NewJob()
		id := m.ID
		if _, err := s.intake.Submit(ctx, m, files("r.png", red)); !errors.Is(err, queuetest.ErrFault) {
			t.Fatalf("got %v, want the fault", err)
		}
		time.Sleep(time.Minute)
		if _, err := s.tracker.Job(ctx, id); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.NotFound {
			t.Errorf("a job that was refused is known: %v", err)
		}
		for info, err := range store.List(ctx, "input/") {
			t.Errorf("left behind: %s %v", info.Key, err)
		}
	})
}

// slow decodes nothing: it takes its time, or fails as it is told to.
type slow struct {
	took  time.Duration
	err   error
	calls chan struct{}
}

func (d slow) Decode(ctx context.Context, data []byte, shortSide int) (decode.Picture, error) {
	d.calls <- struct{}{}
	select {
	case <-time.After(d.took):
	case <-ctx.Done():
		return decode.Picture{}, ctx.Err()
	}
	return decode.Picture{Pixels: ocelli.Pixels{Width: 1, Height: 1, RGB: []byte{255, 0, 0}}, FullWidth: 1, FullHeight: 1}, d.err
}

// A store that is full, or does not answer for a while, is no fault of the images: they wait in the worker's hands, and none is given up.
func TestAnOutageOfTheStoreCostsNoImage(t *testing.T) {
	for _, op := range []blobtest.Op{blobtest.Create, blobtest.Open, blobtest.List} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				faulty := &blobtest.Faulty{Store: new(blob.Mem), Plan: func(c blobtest.Call) blobtest.Fault {
					if broken.Load() && c.Op == op {
						return blobtest.Failed
					}
					return blobtest.None
				}}
				s := newService(faulty, queue.NewMem(lease, 1000))
				id := s.submit(t, "r", red, "g", green, "b", blue, "r2", red)
				// They have been delivered once before, so each is a suspect, whose trials count.
				if _, err := s.queue.Receive(t.Context(), 10, 0); err != nil {
					t.Fatal(err)
				}
				time.Sleep(lease)
				s.start(t, 2)
				broken.Store(true)
				time.Sleep(10 * time.Minute)
				broken.Store(false)
				if got, want := outcome(s.ended(t, id)), "r=red g=green b=blue r2=red"; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}

// A worker that was pointed at another store says so and ends; the images are none the worse for it.
func TestAWorkerWithTheWrongStoreTouchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		id := s.submit(t, "r", red, "g", green)
		wrong := s.worker("wrong")
		wrong.Blobs = new(blob.Mem)
		if err := wrong.Run(t.Context(), nil); err == nil {
			t.Error("it ran to a good end")
		}
		s.start(t, 1)
		if got, want := outcome(s.ended(t, id)), "r=red g=green"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestALeaseIsExtendedWhileItsImageTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		calls := make(chan struct{}, 10)
		s.decoder = slow{took: 25 * time.Second, calls: calls}
		s.start(t, 2)
		id := s.submit(t, "r.png", red)
		job := s.ended(t, id)
		if n := len(calls); n != 1 || job.Images[0].Result.Attempt != 1 {
			t.Errorf("the image was decoded %d times", n)
		}
	})
}

func TestAnImageThatAlwaysFailsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		calls := make(chan struct{}, 10)
		s.decoder = slow{err: io.ErrClosedPipe, calls: calls}
		s.start(t, 1)
		id := s.submit(t, "r.png", red)
		job := s.ended(t, id)
		if e := job.Images[0].Error; e == nil || e.Code != ocelli.GaveUp {
			t.Errorf("got %v", e)
		}
		if len(calls) != 3 {
			t.Errorf("tried %d times, want 3", len(calls))
		}
	})
}

// killer is a decoder that takes its worker down when it sees a certain image.
type killer struct {
	decode work.Decoder
	victim []byte
	crash  context.CancelFunc
	seen   *int
}

func (k killer) Decode(ctx context.Context, data []byte, shortSide int) (decode.Picture, error) {
	if bytes.Equal(data, k.victim) {
		*k.seen++
		k.crash()
		<-ctx.Done()
		return decode.Picture{}, ctx.Err()
	}
	return k.decode.Decode(ctx, data, shortSide)
}

// An image takes its worker down whenever it is touched. It is given up in the end, and those that the worker held beside it, each
// time anew, are none the worse for it.
func TestAnImageThatKillsWorkersIsGivenUpAndCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		uploads := []any{"killer.png", green}
		want := "killer.png=gave_up"
		for i := range 9 {
			uploads, want = append(uploads, fmt.Sprint(i), red), want+fmt.Sprintf(" %d=red", i)
		}
		id := s.submit(t, uploads...)
		touched, crashes := 0, 0
		for {
			ctx, cancel := context.WithCancel(t.Context())
			s.decoder = killer{decode: decode.New(decode.Limits{}), victim: green, crash: cancel, seen: &touched}
			worker := s.worker("w")
			worker.Concurrency = 5
			drain := make(chan struct{})
			stop := time.AfterFunc(3*lease, func() { close(drain) })
			if err := worker.Run(ctx, drain); err != nil {
				t.Fatal(err)
			}
			cancel()
			if stop.Stop() {
				crashes++
				continue
			}
			break // it lived as long as it should
		}
		s.start(t, 0)
		job := s.ended(t, id)
		if got := outcome(job); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if touched != 3 || crashes != 3 {
			t.Errorf("the killer was touched %d times and crashed %d workers, want 3", touched, crashes)
		}
		for info := range s.blobs.List(t.Context(), "trials/") {
			t.Errorf("left behind: %s", info.Key)
		}
	})
}

func TestADrainedWorkerFinishesWhatItHoldsAndLeasesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		calls := make(chan struct{}, 10)
		s.decoder = slow{took: 3 * time.Second, calls: calls}
		s.submit(t, "1", red, "2", red, "3", red, "4", red, "5", red, "6", red)
		drain := make(chan struct{})
		ended := make(chan error, 1)
		go func() { ended <- s.worker("w").Run(t.Context(), drain) }()
		<-calls
		<-calls
		close(drain)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		stats, err := s.queue.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		for _, err := range s.blobs.List(t.Context(), "output/") {
			if err != nil {
				t.Fatal(err)
			}
			done++
		}
		if done < 2 || stats.Leased != 0 || int(stats.Ready) != 6-done {
			t.Errorf("%d results, %d messages ready and %d leased after a drain", done, stats.Ready, stats.Leased)
		}
	})
}

func TestACancelledJobEndsAtOnceAndNobodyWorksOnItsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
		calls := make(chan struct{}, 10)
		s.decoder = slow{took: 5 * time.Second, calls: calls}
		ctx := s.start(t, 1) // with two hands
		id := s.submit(t, "1", red, "2", red, "3", red, "4", red, "text", []byte("text"))
		time.Sleep(6 * time.Second) // two are done and two in hand
		job, err := s.intake.Cancel(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		want := outcome(job) // which two were first is chance
		if strings.Count(want, "=red") != 2 || strings.Count(want, "=cancelled") != 2 || !strings.HasSuffix(want, " text=unsupported_type") ||
			job.State != ocelli.JobCancelled {
			t.Errorf("got %s, %s, want two done and two cancelled", want, job.State)
		}
		time.Sleep(time.Minute)
		if job, err = s.tracker.Job(ctx, id); err != nil || outcome(job) != want {
			t.Errorf("a minute later: %s, %v", outcome(job), err)
		}
		if stats, _ := s.queue.Stats(ctx); stats.Backlog() != 0 {
			t.Errorf("%d messages are left", stats.Backlog())
		}
	})
}

// The web node is replaced in mid-job: the new one answers for the job out of the store.
func TestAnotherNodeAnswersForAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, q := new(blob.Mem), queue.NewMem(lease, 1000)
		first := newService(blobs, q)
		id := first.submit(t, "r.png", red, "g.png", green)
		second := newService(blobs, q)
		job, err := second.tracker.Job(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := outcome(job), "r.png=waiting g.png=waiting"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		// The workers still tell the first node, which nobody asks; the second finds the results by reading.
		first.start(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = second.tracker.Run(ctx) }()
		job, err = second.tracker.Wait(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := outcome(job), "r.png=red g.png=green"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// timed is a decoder that takes as long as is said for the first picture, the second and so on.
type timed struct {
	work.Decoder
	takes func(n int64) time.Duration
	calls *atomic.Int64
}

func (d timed) Decode(ctx context.Context, data []byte, shortSide int) (decode.Picture, error) {
	time.Sleep(d.takes(d.calls.Add(1)))
	return d.Decoder.Decode(ctx, data, shortSide)
}

// However many images a worker looks at at once, and however long they take, it asks the queue for as many as it may hold, ends when it is
// drained, and warns of nothing.
func TestAWorkerAsksForWhatItCanHoldAndEnds(t *testing.T) {
	second := func(int64) time.Duration { return time.Second }
	mixed := func(n int64) time.Duration {
		if n%20 == 10 {
			return 600 * time.Millisecond
		}
		return 4 * time.Millisecond
	}
	for name, c := range map[string]struct {
		concurrency int
		takes       func(int64) time.Duration
		drained     time.Duration // after so long
	}{
		"2 at once": {2, second, 2500 * time.Millisecond}, "24": {24, second, 2500 * time.Millisecond}, "64": {64, second, 1500 * time.Millisecond},
		"long ones among short ones": {2, mixed, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService(new(blob.Mem), queue.NewMem(lease, 1000))
				var pairs []any
				for i := range 100 {
					pairs = append(pairs, fmt.Sprint(i), red)
				}
				s.submit(t, pairs...)
				var warnings bytes.Buffer
				w := s.worker("w")
				w.Concurrency, w.Decoder = c.concurrency, timed{s.decoder, c.takes, new(atomic.Int64)}
				w.Log = slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
				drain, ended := make(chan struct{}), make(chan error, 1)
				go func() { ended <- w.Run(t.Context(), drain) }()
				time.Sleep(c.drained)
				close(drain)
				select {
				case err := <-ended:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Hour):
					t.Fatal("it does not end")
				}
				if warnings.Len() > 0 {
					t.Error(warnings.String())
				}
			})
		})
	}
}
