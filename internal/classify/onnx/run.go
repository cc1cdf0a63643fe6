package onnx

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	ort "github.com/yalue/onnxruntime_go"
)

// session is what is used of [ort.DynamicAdvancedSession]. Run may be called from any number of goroutines.
type session interface {
	Run(inputs, outputs []ort.Value) error
	Destroy() error
}

// chunk is how many images are run at once where the model takes any number: more gains nothing on a CPU, and costs
// memory.
const chunk = 8

// Classify implements [classify.Classifier].
func (m *Model) Classify(ctx context.Context, images ...ocelli.Pixels) ([][]ocelli.Label, error) {
	labels := make([][]ocelli.Label, 0, len(images))
	for len(images) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(len(images), m.atOnce())
		width, height := m.spec.InputSize(images[0])
		scores, err := m.run(images[:n], width, height)
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", m.identity.Name, err)
		}
		for _, s := range scores {
			ranked, err := m.spec.Rank(s, m.topK)
			if err != nil {
				return nil, fmt.Errorf("model %s: %w", m.identity.Name, err)
			}
			labels = append(labels, ranked)
		}
		images = images[n:]
	}
	return labels, nil
}

// atOnce returns how many images a run takes.
func (m *Model) atOnce() int {
	switch {
	case m.spec.Width == 0: // each has its own size
		return 1
	case m.spec.Batch > 0:
		return m.spec.Batch
	}
	return chunk
}

// runner returns the function that runs the session for the images, all of which become width × height pixels, and returns
// the scores of each. T is the type of the model's input.
func runner[T classify.Number](spec *classify.Spec, s session) func(images []ocelli.Pixels, width, height int) ([][]float32, error) {
	filler := classify.NewFiller[T](spec)
	spare := sync.Pool{New: func() any { return new([]T) }}
	return func(images []ocelli.Pixels, width, height int) ([][]float32, error) {
		batch := max(len(images), spec.Batch)
		size := 3 * width * height
		room := spare.Get().(*[]T)
		defer spare.Put(room)
		if cap(*room) < batch*size {
			*room = make([]T, batch*size)
		}
		data := (*room)[:batch*size]
		for i, img := range images {
			if err := filler.Fill(data[i*size:][:size], img); err != nil {
				return nil, err
			}
		}
		shape := ort.NewShape(int64(batch), int64(height), int64(width), 3)
		if spec.ChannelsFirst {
			shape = ort.NewShape(int64(batch), 3, int64(height), int64(width))
		}
		return infer(s, shape, data, len(images))
	}
}

// infer runs the session on data and returns the scores of the first n images.
func infer[T classify.Number](s session, shape ort.Shape, data []T, n int) ([][]float32, error) {
	// The tensor holds a C pointer to the data until it is destroyed.
	var pin runtime.Pinner
	pin.Pin(&data[0])
	defer pin.Unpin()
	input, err := ort.NewTensor(shape, data)
	if err != nil {
		return nil, tidy(err)
	}
	defer input.Destroy()
	outputs := []ort.Value{nil}
	if err := s.Run([]ort.Value{input}, outputs); err != nil {
		return nil, tidy(err)
	}
	defer outputs[0].Destroy()
	output, ok := outputs[0].(*ort.Tensor[float32])
	if !ok {
		return nil, fmt.Errorf("its output is %T: scores must be float32", outputs[0])
	}
	got := output.GetShape()
	width, err := classify.ScoreWidth(got)
	if err != nil {
		return nil, fmt.Errorf("its output is %v: %w", got, err)
	}
	all := output.GetData()
	if got[0] != shape[0] || len(all) != int(got[0])*width {
		return nil, fmt.Errorf("its output is %v for %d images: it must have a row of scores for each", got, shape[0])
	}
	scores := make([][]float32, n)
	for i := range scores {
		scores[i] = append([]float32(nil), all[i*width:][:width]...)
	}
	return scores, nil
}
