package classify

import (
	"context"

	"github.com/ocelli/ocelli"
)

// Echo is a [Classifier] without a network, for tests: it names the colour that a picture has most of. The same
// pixels always give the same labels, and different colours give different ones.
type Echo struct{}

// echoColours are the labels of Echo, with the share of red, green and blue that they stand for.
var echoColours = []struct {
	name, parent string
	rgb          [3]float64
}{
	{"red", "warm colour", [3]float64{255, 0, 0}},
	{"green", "cold colour", [3]float64{0, 255, 0}},
	{"blue", "cold colour", [3]float64{0, 0, 255}},
	{"yellow", "warm colour", [3]float64{255, 255, 0}},
	{"white", "grey", [3]float64{255, 255, 255}},
	{"black", "grey", [3]float64{}},
}

// Model returns the identity of Echo.
func (Echo) Model() ocelli.Model {
	return ocelli.Model{Name: "echo", SHA256: "0000000000000000000000000000000000000000000000000000000000000000", Preprocessing: "mean colour"}
}

// ShortSide lets a decoder scale as far as it likes.
func (Echo) ShortSide() int { return 1 }

// Classify ranks the colours by their distance from the mean of the pixels.
func (Echo) Classify(ctx context.Context, images ...ocelli.Pixels) ([][]ocelli.Label, error) {
	spec := Spec{Activation: ActivationNone, Temperature: 1}
	for _, c := range echoColours {
		spec.Labels = append(spec.Labels, ocelli.Label{Name: c.name, Parents: []string{c.parent, "colour"}})
	}
	all := make([][]ocelli.Label, len(images))
	for i, img := range images {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if all[i], err = spec.Rank(echoScores(img), DefaultTop); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// echoScores returns a score for each colour.
func echoScores(img ocelli.Pixels) []float32 {
	var mean [3]float64
	for i, v := range img.RGB {
		mean[i%3] += 3 * float64(v) / float64(len(img.RGB))
	}
	scores := make([]float32, len(echoColours))
	for i, c := range echoColours {
		for ch := range mean {
			d := (mean[ch] - c.rgb[ch]) / 100
			scores[i] -= float32(d * d)
		}
	}
	return scores
}

// Close does nothing.
func (Echo) Close() error { return nil }
