package classify

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ocelli/ocelli"
)

// resolver gathers what is missing or wrong, so that all of it is told at once.
type resolver struct {
	card    *Card
	spec    Spec
	wrong   []string
	missing []string // JSON to be added to the card
}

func (r *resolver) fail(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

// NewSpec puts the card, nil where there is none, and the facts of the file together. The error lists everything that
// is wrong, and everything that is missing as the JSON to be added to the card. How pixels are normalised is never guessed:
// no file tells, and a wrong guess costs a tenth of the accuracy without a word.
func NewSpec(card *Card, facts Facts) (*Spec, error) {
	r := &resolver{card: cmp.Or(card, &Card{})}
	in := r.pick("input", r.card.Input.Name, facts.Inputs)
	out := r.pick("output", r.card.Output.Name, facts.Outputs)
	if in != nil {
		r.input(*in)
	}
	width := 0
	if out != nil {
		width = r.output(*out)
	}
	if in != nil {
		r.geometry(*in)
		r.normalisation()
	}
	r.labels(width)
	if len(r.wrong)+len(r.missing) > 0 {
		return nil, r.err()
	}
	return &r.spec, nil
}

func (r *resolver) err() error {
	parts := r.wrong
	if len(r.missing) > 0 {
		text := "the file does not say all that is needed; add to its card, a FILE.json beside FILE.onnx: {" + strings.Join(r.missing, ", ") + "}"
		if strings.Contains(text, `"std"`) {
			text += ", or mean and std as it was trained with: [0.5, 0.5, 0.5] both, if on numbers from -1 to 1"
		}
		parts = append(parts, text)
	}
	return errors.New(strings.Join(parts, "; "))
}

// pick returns the tensor that the card names, or the only one.
func (r *resolver) pick(kind, name string, tensors []Tensor) *Tensor {
	all := make([]string, len(tensors))
	for i, t := range tensors {
		all[i] = t.String()
	}
	has := fmt.Sprintf("the model has %d %ss (%s)", len(tensors), kind, strings.Join(all, ", "))
	i := slices.IndexFunc(tensors, func(t Tensor) bool { return t.Name == name })
	switch {
	case name != "" && i < 0:
		r.fail("%s, none named %q", has, name)
	case kind == "input" && len(tensors) != 1:
		r.fail("%s: an image classifier has one", has)
	case name == "" && len(tensors) != 1:
		r.fail(`%s: it looks like a detector, not a classifier; if one of them holds the scores of the classes, say so in its card: {"output": {"name": "…"}}`, has)
	default:
		return &tensors[max(i, 0)]
	}
	return nil
}

// input reads name, type, layout and batch.
func (r *resolver) input(t Tensor) {
	r.spec.Input = t.Name
	switch {
	case t.Type != "float32" && t.Type != "uint8":
		r.fail("its input is %s: only float32 and uint8 can be fed", t)
	case r.card.Input.Type != "" && r.card.Input.Type != t.Type:
		r.fail("its input is %s, the card says %s", t, r.card.Input.Type)
	}
	r.spec.Uint8 = t.Type == "uint8"
	r.spec.BGR = r.card.Input.Channels == "BGR"
	if t.Shape != nil && len(t.Shape) != 4 {
		r.fail("its input is %s: an image classifier takes four dimensions, as in [1,3,224,224]", t)
		return
	}
	layout := r.card.Input.Layout
	if t.Shape != nil {
		first, last := t.Shape[1], t.Shape[3]
		switch {
		case layout == "NCHW" && first != 3 && first > 0, layout == "NHWC" && last != 3 && last > 0:
			r.fail("its input is %s, which is not %s with three colours", t, layout)
		case layout == "" && first > 0 && last > 0 && first != 3 && last != 3:
			r.fail("its input is %s: only models that take three colours can be fed", t)
		case layout == "" && first == 3 && last != 3:
			layout = "NCHW"
		case layout == "" && last == 3 && first != 3:
			layout = "NHWC"
		}
		r.spec.Batch = int(max(t.Shape[0], 0))
	}
	if layout == "" {
		r.missing = append(r.missing, `"input": {"layout": "NCHW"}`)
	}
	r.spec.ChannelsFirst = layout != "NHWC"
	if r.spec.Batch > maxBatch {
		r.fail("its input is %s: a fixed batch of more than %d images is not fed", t, maxBatch)
	}
}

// maxBatch is the largest fixed batch that a model may ask for.
const maxBatch = 64

// output reads name, activation and temperature, and returns the number of classes, 0 where the file does not tell.
func (r *resolver) output(t Tensor) int {
	r.spec.Output = t.Name
	r.spec.Activation = cmp.Or(r.card.Output.Activation, t.Activation, ActivationNone)
	r.spec.Temperature = cmp.Or(r.card.Temperature, 1)
	if r.spec.Activation == ActivationSigmoid && r.spec.Temperature != 1 {
		r.fail("its scores are of a sigmoid, and a temperature goes with softmax alone: leave it out of the card")
	}
	if t.Type != "float32" {
		r.fail("its output is %s: scores must be float32", t)
	}
	if t.Shape == nil {
		return 0
	}
	width, err := ScoreWidth(t.Shape)
	if err != nil {
		r.fail("its output is %s: %v", t, err)
	}
	return width
}

// geometry settles how large a picture is fed.
func (r *resolver) geometry(t Tensor) {
	var fixedW, fixedH int
	if len(t.Shape) == 4 {
		h, w := t.Shape[1], t.Shape[2]
		if r.spec.ChannelsFirst {
			h, w = t.Shape[2], t.Shape[3]
		}
		fixedW, fixedH = int(max(w, 0)), int(max(h, 0))
	}
	p := r.card.Preprocess
	if p.Preset == PresetRaw {
		if fixedW > 0 || fixedH > 0 {
			r.fail(`preset "raw" feeds pictures at their own size, and its input is %s: export the model with any height and width, or take preset "imagenet"`, t)
		}
		return
	}
	if max(fixedW, fixedH) > maxSide {
		r.fail("its input is %s: sides of more than %d pixels are not fed", t, maxSide)
	}
	if p.Crop > 0 && ((fixedW > 0 && fixedW != p.Crop) || (fixedH > 0 && fixedH != p.Crop)) {
		r.fail("its input is %s, the card says crop %d", t, p.Crop)
	}
	crop := p.Crop
	if crop == 0 && p.Resize > 0 {
		crop = int(math.Round(float64(p.Resize) * imagenetCrop / imagenetResize))
	}
	crop = cmp.Or(crop, imagenetCrop)
	r.spec.Width, r.spec.Height = cmp.Or(fixedW, crop), cmp.Or(fixedH, crop)
	large := max(r.spec.Width, r.spec.Height)
	r.spec.Resize = cmp.Or(p.Resize, int(math.Round(float64(large)*imagenetResize/imagenetCrop)))
	if r.spec.Resize < large {
		r.fail("preprocess.resize is %d, less than the %d pixels that are cut out", r.spec.Resize, large)
	}
}

// normalisation settles how a pixel becomes a number.
func (r *resolver) normalisation() {
	p := r.card.Preprocess
	r.spec.Scale, r.spec.Std = 1, [3]float64{1, 1, 1}
	if r.spec.Uint8 {
		if p.Scale != 0 || p.Mean != nil || p.Std != nil || p.Preset == PresetRaw {
			r.fail(`its input takes bytes: the card must have no preset "raw", scale, mean or std`)
		}
		return
	}
	r.spec.Scale = cmp.Or(p.Scale, 1.0/255)
	switch {
	case p.Preset == PresetRaw:
		return
	case p.Preset == "" && (p.Mean == nil || p.Std == nil):
		r.missing = append(r.missing, `"preprocess": {"preset": "imagenet", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}`)
	}
	if p.Mean == nil {
		p.Mean = r.ordered(imagenetMean)
	}
	if p.Std == nil {
		p.Std = r.ordered(imagenetStd)
	}
	copy(r.spec.Mean[:], p.Mean)
	copy(r.spec.Std[:], p.Std)
}

// ordered returns v, which is in the order red, green, blue, in the model's order.
func (r *resolver) ordered(v []float64) []float64 {
	v = slices.Clone(v)
	if r.spec.BGR {
		slices.Reverse(v)
	}
	return v
}

// labels settles the names of the classes.
func (r *resolver) labels(width int) {
	l := r.card.Labels
	switch {
	case l.Set != "":
		labels, err := KnownLabels(l.Set)
		if err != nil {
			r.fail("%v", err)
			return
		}
		r.spec.Labels, r.spec.LabelSet = labels, l.Set
	case len(l.List) > 0:
		r.spec.Labels = make([]ocelli.Label, len(l.List))
		for i, one := range l.List {
			r.spec.Labels[i] = ocelli.Label{Name: cmp.Or(one.Name, one.ID), ID: one.ID, Parents: one.Parents}
		}
	case width == 1000 || width == 1001:
		r.card = &Card{Labels: CardLabels{Set: fmt.Sprintf("imagenet-%d", width)}}
		r.spec.Assumed = append(r.spec.Assumed, fmt.Sprintf("the labels are %s, since it gives %d scores", r.card.Labels.Set, width))
		r.labels(width)
		return
	default:
		r.missing = append(r.missing, fmt.Sprintf(`"labels": ["name of class 0", …%s]`, wanted(width)))
		return
	}
	if err := r.spec.CheckWidth(width); width > 0 && err != nil {
		r.fail("%v", err)
	}
}

func wanted(width int) string {
	if width == 0 {
		return ""
	}
	return fmt.Sprintf(" %d in all", width)
}
