package retain

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
)

// hooked is a store that calls before each call that changes something.
type hooked struct {
	blob.Store
	before func(op blobtest.Op, key string)
}

func (h *hooked) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	h.before(blobtest.Put, key)
	return h.Store.Put(ctx, key, r)
}

func (h *hooked) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		h.before(blobtest.Delete, key)
	}
	return h.Store.Delete(ctx, keys...)
}

// A worker may lease a message from before the deadline as soon as the result that says so is gone.
func TestADeadlineIsLiftedBeforeTheResultsGo(t *testing.T) {
	s := newShop()
	id := s.add(t, time.Now(), "xx")
	var gone atomic.Int64
	jobs := on(&hooked{s.mem, func(op blobtest.Op, key string) {
		if op != blobtest.Delete || !strings.HasPrefix(key, ocelli.OutputPrefix(id)) {
			return
		}
		gone.Add(1)
		if m, err := s.Results.LoadManifest(t.Context(), id); err != nil || !m.Deadline.IsZero() {
			t.Errorf("a result goes while the deadline stands: %+v, %v", m, err)
		}
	}}, s.queue)
	if _, err := jobs.Retry(t.Context(), id); err != nil || gone.Load() != 2 {
		t.Errorf("%d results went: %v", gone.Load(), err)
	}
}

// While an image is being put back, another retry comes, or a janitor who takes this one for abandoned, and a worker ends what that sends. The
// image has a result or a message afterwards.
func TestTwoThatPutAnImageBackAtOnce(t *testing.T) {
	for name, other := range map[string]func(*shop, ocelli.JobID) error{
		"a retry":   func(s *shop, id ocelli.JobID) error { _, err := on(s.mem, s.queue).Retry(t.Context(), id); return err },
		"a janitor": func(s *shop, _ ocelli.JobID) error { return s.later().finish(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop()
			id := s.add(t, time.Now(), "x")
			image := ocelli.NewImageID(id, 1)
			meanwhile := sync.OnceFunc(func() {
				if err := other(s, id); err != nil {
					t.Error(err)
				}
				for image := range s.sent(t) {
					if _, err := s.Results.Save(t.Context(), ocelli.Result{Image: image, Job: id}, ""); err != nil {
						t.Error(err)
					}
				}
			})
			jobs := on(&hooked{s.mem, func(op blobtest.Op, key string) {
				if op == blobtest.Delete && key == ocelli.OutputKey(id, image) {
					meanwhile()
				}
			}}, s.queue)
			if n, err := jobs.Retry(t.Context(), id); n != 1 || err != nil {
				t.Errorf("%d images were put back: %v", n, err)
			}
			if _, err := s.Results.Load(t.Context(), id, image); err != nil && len(s.sent(t)) == 0 {
				t.Errorf("the image has no message, and its result: %v", err)
			}
		})
	}
}

// An image whose result nobody can read has none. It is put back beside those that failed.
func TestRetryOfADamagedResult(t *testing.T) {
	for _, text := range []string{"", "{", "null", "{}"} {
		s := newShop()
		id := s.add(t, time.Now(), "dxd")
		if _, err := s.mem.Put(t.Context(), ocelli.OutputKey(id, ocelli.NewImageID(id, 1)), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Retry(t.Context(), id); n != 2 || err != nil || len(s.sent(t)) != 2 {
			t.Errorf("with %q for a result %d images are put back: %v", text, n, err)
		}
	}
}

// A job is deleted at any moment of a retry: it stays deleted, also where the retry was broken off just then.
func TestAJobThatIsDeletedDuringARetryStaysDeleted(t *testing.T) {
	retry := func(j *Jobs, id ocelli.JobID) error { _, err := j.Retry(t.Context(), id); return err }
	for _, crash := range []bool{false, true} {
		for n := 1; n <= callsOf(t, retry)+1; n++ {
			s := newShop()
			id := s.add(t, time.Now(), "dxg")
			var deleted bool
			faulty := &blobtest.Faulty{Store: s.mem}
			faulty.Plan = func(c blobtest.Call) blobtest.Fault {
				if c.N == n {
					deleted = true
					if err := s.Delete(t.Context(), id); err != nil {
						t.Error(err)
					}
				}
				if crash && c.N > n {
					return blobtest.Failed
				}
				return blobtest.None
			}
			err := retry(on(faulty, s.queue), id)
			if _, gone := s.Results.LoadManifest(t.Context(), id); deleted && !crash && !errors.Is(gone, blob.ErrNotFound) {
				t.Errorf("deleted before call %d, the job is there again: %v; retry said %v", n, gone, err)
			}
			s.later().round(t.Context())
			if left := s.keys(t, string(id)); deleted && len(left) > 0 {
				t.Errorf("deleted before call %d, crash: %v: after the janitor came there are %v; retry said %v", n, crash, left, err)
			}
		}
	}
}
