package intake_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
)

// as returns the context of a request with a key that may send quota images a day.
func as(t *testing.T, quota int64) context.Context {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	key, _ := access.NewKey(access.Key{Scopes: []access.Scope{access.Submit}, Quota: quota}, time.Now())
	if err := access.Edit(path, func(keys []access.Key) ([]access.Key, error) { return append(keys, key), nil }); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keys, err := access.Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := access.NewGuard(keys, new(blob.Mem), "node", log).Admit(t.Context(), key.ID)
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// Results come while the upload goes on, so whoever reads them and then breaks off has had what the quota counts.
func TestWhatABrokenOffUploadHasUsedIsNotGivenBack(t *testing.T) {
	ctx, q := as(t, 5), queue.NewMem(time.Minute, 100)
	in := newIntake(new(blob.Mem), q, roomy)
	_, err := in.Submit(ctx, intake.NewJob(), func(yield func(intake.Upload, error) bool) {
		for range 3 {
			if !yield(upload("a.png", picture(0)), nil) {
				return
			}
		}
		for range 3 {
			ds, err := q.Receive(t.Context(), 1, 10*time.Second)
			if err != nil || len(ds) != 1 {
				t.Errorf("an image that was read is not queued: %d, %v", len(ds), err)
			}
		}
		_ = yield(upload("notes.txt", []byte("text")), nil)
		yield(intake.Upload{}, ocelli.Errorf(ocelli.BadRequest, "the upload broke off"))
	})
	if codeOf(err) != ocelli.BadRequest {
		t.Fatalf("got %v", err)
	}
	three := uploads(upload("1", picture(0)), upload("2", picture(0)), upload("3", picture(0)))
	if _, err := in.Submit(ctx, intake.NewJob(), three); codeOf(err) != ocelli.QuotaUsed {
		t.Errorf("of 5 images 3 were used, and 3 more are answered %v", err)
	}
}

// What never came to the queue has cost nothing: the same images can be sent later.
func TestWhatTheQueueRefusedIsGivenBack(t *testing.T) {
	ctx, q := as(t, 2), queue.NewMem(time.Minute, 1)
	in := newIntake(new(blob.Mem), q, roomy)
	two := func() error {
		_, err := in.Submit(ctx, intake.NewJob(), uploads(upload("1", picture(0)), upload("notes.txt", []byte("text"))))
		return err
	}
	if err := q.Send(ctx, queue.Message{ID: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := two(); codeOf(err) != ocelli.Overloaded {
		t.Fatalf("a full queue gives %v", err)
	}
	ds, err := q.Receive(ctx, 1, 0)
	if err := errors.Join(err, q.Ack(ctx, ds...)); err != nil {
		t.Fatal(err)
	}
	if err := two(); err != nil {
		t.Errorf("sent again they are answered %v", err)
	}
}
