// Package worktest runs all of the service but its HTTP side in memory, for tests of what stands before it.
package worktest

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/work"
)

// Service takes images in and has workers that name their main colour: see [classify.Echo].
type Service struct {
	Intake  *intake.Intake
	Tracker *result.Tracker
	Results *result.Store
	Blobs   blob.Store
	Queue   *queue.Mem
}

// Start runs a service until the test has ended. With no workers images wait for ever.
func Start(t testing.TB, workers int) *Service {
	t.Helper()
	blobs, q, bus, log := new(blob.Mem), queue.NewMem(10*time.Second, 10_000), notify.NewMem(), slog.New(slog.DiscardHandler)
	results := &result.Store{Blobs: blobs, Bus: bus}
	store, err := blob.Identity(t.Context(), blobs)
	if err != nil {
		t.Fatal(err)
	}
	tracker := result.NewTracker(results, "result.test", log, nil)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { _ = tracker.Run(ctx) })
	for range workers {
		w := &work.Worker{
			Config: work.Config{Name: "w", Concurrency: 2, Lease: 10 * time.Second, LeaseWait: 100 * time.Millisecond,
				MaxAttempts: 3, MaxBytes: 32 << 20, ImageTime: time.Minute},
			Queue: q, Blobs: blobs, Results: results, Decoder: decode.New(decode.Limits{}), Classifier: classify.Echo{},
			Reporter: Nobody{}, Log: log,
			Stuck: func() { t.Error("an image holds a worker up") },
		}
		running.Go(func() { _ = w.Run(ctx, nil) })
	}
	return &Service{
		Intake: &intake.Intake{Blobs: blobs, Queue: q, Results: results, Tracker: tracker, Store: store,
			Limits: intake.Limits{ImageBytes: 32 << 20, JobImages: 1000, Backlog: 10_000}},
		Tracker: tracker, Results: results, Blobs: blobs, Queue: q,
	}
}

// Nobody is a [work.Reporter] that is told all and says nothing.
type Nobody struct{}

func (Nobody) Leased(int)   {}
func (Nobody) Settled(int)  {}
func (Nobody) GaveBack(int) {}

// Picture is a PNG of one colour.
func Picture(c color.Color, width, height int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a picture in memory always encodes
	}
	return b.Bytes()
}
