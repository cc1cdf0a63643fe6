package bulk

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
)

// Here returns an engine that classifies in this process, so many images side by side, while it reads as many again.
func Here(classifier classify.Classifier, hands int) Engine {
	h := &here{decoder: decode.New(decode.Limits{}), classifier: classifier, hands: make(chan struct{}, hands)}
	return h.run
}

type here struct {
	decoder    *decode.Decoder
	classifier classify.Classifier
	hands      chan struct{} // holds one for each image that is decoded and classified
}

// future is an item whose result will come.
type future struct {
	item   Item
	result chan ocelli.Result // of one
}

func (h *here) run(ctx context.Context, find func(context.Context) iter.Seq[Item], done func(Item, ocelli.Result) error) error {
	// The model must not be closed while an image is in it.
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// The images run side by side and are told one after another.
	futures := make(chan future, 2*cap(h.hands))
	working.Go(func() {
		defer close(futures)
		for item := range find(ctx) {
			f := future{item, make(chan ocelli.Result, 1)}
			select {
			case futures <- f:
			case <-ctx.Done():
				return
			}
			working.Go(func() { f.result <- h.one(ctx, item) })
		}
	})
	for f := range futures {
		res := <-f.result
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := done(f.item, res); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// one is the path of an image without the service around it.
func (h *here) one(ctx context.Context, item Item) ocelli.Result {
	model := h.classifier.Model()
	res := ocelli.Result{Name: item.Name, Labels: []ocelli.Label{}, Attempt: 1, Worker: "here"}
	began := time.Now()
	data, err := read(ctx, item)
	res.Timings.Fetch = since(began)
	if err != nil {
		res.Error = fault(item, err)
		return res
	}
	h.hands <- struct{}{}
	defer func() { <-h.hands }()
	began = time.Now()
	picture, err := h.decoder.Decode(ctx, data, h.classifier.ShortSide())
	res.Timings.Decode = since(began)
	if err != nil {
		res.Error = fault(item, err)
		return res
	}
	defer picture.Release()
	res.Width, res.Height = picture.FullWidth, picture.FullHeight
	began = time.Now()
	labels, err := h.classifier.Classify(ctx, picture.Pixels)
	res.Timings.Infer = since(began)
	if err != nil {
		res.Error = fault(item, err)
		return res
	}
	res.Labels, res.Model = labels[0], &model
	return res
}

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1000 }
