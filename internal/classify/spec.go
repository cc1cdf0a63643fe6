package classify

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli"
)

// The presets of preprocessing.
const (
	PresetImageNet = "imagenet" // scale the short side, cut the centre, normalise
	PresetRaw      = "raw"      // the picture's own size, pixels ÷ 255, nothing else
)

// What a model may have applied to its scores itself.
const (
	ActivationNone    = "none"    // they are logits, and softmax is still to be applied
	ActivationSoftmax = "softmax" // they are probabilities, of which one class takes what another has not
	ActivationSigmoid = "sigmoid" // they are probabilities, each class by itself
)

// The way of the networks that were trained on ImageNet, by
// https://docs.pytorch.org/vision/stable/models.html: 256 to 224 pixels, and mean and deviation of its pixels.
const (
	imagenetResize = 256
	imagenetCrop   = 224
)

var (
	imagenetMean = []float64{0.485, 0.456, 0.406}
	imagenetStd  = []float64{0.229, 0.224, 0.225}
)

// maxSide is the largest side in pixels of a model's input, and maxNative the largest picture that is fed at its own
// size; a larger one is scaled down to it, since the memory that a network needs grows with the picture.
const (
	maxSide   = 2048
	maxNative = 1024 * 1024
)

// Facts are what a model file tells about itself.
type Facts struct {
	Inputs, Outputs []Tensor // without initializers
}

// Tensor is an input or output of a model.
type Tensor struct {
	Name       string
	Type       string  // "float32", "uint8", …
	Shape      []int64 // −1 where any size will do; nil where the file does not tell
	Activation string  // that the model itself has applied to it; "" is ActivationNone
}

func (t Tensor) String() string {
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = fmt.Sprint(d)
		if d < 0 {
			dims[i] = "?"
		}
	}
	name := t.Name
	if quoted := strconv.Quote(name); len(quoted) != len(name)+2 { // a stranger's, with what a terminal would take for commands
		name = quoted
	}
	return fmt.Sprintf("%s %s[%s]", name, t.Type, strings.Join(dims, ","))
}

// Spec is all that must be known to run a model: the card and the file taken together.
type Spec struct {
	Input, Output string // names
	Uint8         bool   // the input takes bytes as they are; else float32
	ChannelsFirst bool   // NCHW; else NHWC
	BGR           bool
	Batch         int // images that the model takes at once; 0 where any number will do
	Width, Height int // of the input, in pixels; 0 where the picture's own size is taken
	Resize        int // pixels of the scaled short side
	Scale         float64
	Mean, Std     [3]float64
	Activation    string // that the model itself has applied to the output
	Temperature   float64
	Labels        []ocelli.Label // without scores, in the order of the output
	LabelSet      string         // the known set that they are, or ""
	Assumed       []string       // what neither card nor file says, in sentences
}

// ScoreWidth returns how many classes an output of the shape has for each image: [n,1000], [n,1000,1,1]. 0 where the
// shape does not tell.
func ScoreWidth(shape []int64) (int, error) {
	if len(shape) < 2 {
		return 0, errors.New("a classifier gives a row of scores for each image, as in [1,1000]")
	}
	for _, d := range shape[2:] {
		if d > 1 {
			return 0, errors.New("it looks like a detector or a segmenter, not a classifier, which gives one row of scores for each image")
		}
	}
	return int(max(shape[1], 0)), nil
}

// CheckWidth tells whether the model's number of scores is the number of labels, and whether scores can be made of it.
func (s *Spec) CheckWidth(width int) error {
	switch {
	case width == 1 && s.Activation != ActivationSigmoid:
		return errors.New(`the model gives one score for each image, of which softmax makes 100 % whatever the picture; ` +
			`if it ends in a sigmoid, say so in its card: {"output": {"activation": "sigmoid"}}`)
	case width == len(s.Labels):
		return nil
	}
	return fmt.Errorf("the model gives %d scores for each image, and there are %d labels: name a known set (%s) or list all %d in its card",
		width, len(s.Labels), strings.Join(KnownSets(), ", "), width)
}

// Preprocessing tells in one line how a picture becomes the input.
func (s *Spec) Preprocessing() string {
	order, layout := "RGB", "NHWC"
	if s.BGR {
		order = "BGR"
	}
	if s.ChannelsFirst {
		layout = "NCHW"
	}
	size := fmt.Sprintf("own size up to %d pixels", maxNative)
	if s.Width > 0 {
		size = fmt.Sprintf("short side %d bilinear antialiased, centre %d×%d", s.Resize, s.Width, s.Height)
	}
	if s.Uint8 {
		return fmt.Sprintf("%s, %s %s uint8", size, order, layout)
	}
	return fmt.Sprintf("%s, %s %s float32, (x×%.6g−%.4g)÷%.4g", size, order, layout, s.Scale, s.Mean, s.Std)
}
