package classify_test

import (
	stdcmp "cmp"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/classifytest"
)

func TestEcho(t *testing.T) {
	classifytest.Run(t, func(*testing.T) classify.Classifier { return classify.Echo{} })
}

func TestParseCardTellsAllThatIsWrongAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		card string
		want []string
	}{
		"unknown fields": {`{"nam": "x", "input": {"shape": 1}, "preprocess": {"resize": 64, "means": []}}`, []string{`"nam"`, `"input.shape"`, `"preprocess.means"`}},
		"wrong values": {`{"task": "detection", "input": {"layout": "CHW"}, "preprocess": {"preset": "x", "mean": [1], "std": [0,1,1]}, "temperature": -1}`,
			[]string{"task", "input.layout", "preprocess.preset", "three numbers", "std must be above 0", "temperature"}},
		"raw with more":   {`{"preprocess": {"preset": "raw", "resize": 64}}`, []string{"raw", "no resize"}},
		"a huge input":    {`{"preprocess": {"crop": 100000}}`, []string{"1 to 2048 pixels"}},
		"no JSON":         {`{"name": `, []string{"not valid JSON"}},
		"a label's field": {`{"labels": [{"nme": "cat"}]}`, []string{"nme"}},
		"a wrong type":    {`{"name": 5}`, []string{"name"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := classify.ParseCard([]byte(test.card))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not tell of %s", err, want)
				}
			}
		})
	}
}

func TestCardsSurviveJSON(t *testing.T) {
	for _, labels := range []classify.CardLabels{{Set: "imagenet-1000"}, {List: []classify.CardLabel{{Name: "cat", ID: "n1", Parents: []string{"animal"}}, {Name: "dog"}}}} {
		card := &classify.Card{Name: "x", Labels: labels, Preprocess: classify.CardPreprocess{Preset: "imagenet", Mean: []float64{1, 2, 3}}}
		data, err := json.Marshal(card)
		if err != nil {
			t.Fatal(err)
		}
		again, err := classify.ParseCard(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(card, again); diff != "" {
			t.Errorf("%s: %s", data, diff)
		}
	}
}

func TestReadCardNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	if _, err := classify.ReadCard(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadCard of nothing: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"x": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := classify.ReadCard(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("ReadCard: %v, want it to name %s", err, path)
	}
}

func TestReadCardTakesFilesOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := classify.ReadCard(path); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("ReadCard: %v", err)
	}
}

func facts(input classify.Tensor, width int64) classify.Facts {
	return classify.Facts{Inputs: []classify.Tensor{input}, Outputs: []classify.Tensor{{Name: "out", Type: "float32", Shape: []int64{-1, width}}}}
}

func TestNewSpecReadsTheFile(t *testing.T) {
	mean := `"preprocess": {"mean": [0.5,0.5,0.5], "std": [0.5,0.5,0.5]}, "labels": ["cat", "dog"]`
	for name, test := range map[string]struct {
		card  string
		input classify.Tensor
		want  string // the preprocessing
	}{
		"all from the file": {`{` + mean + `}`, classify.Tensor{Name: "x", Type: "float32", Shape: []int64{-1, 3, 64, 64}},
			"short side 73 bilinear antialiased, centre 64×64, RGB NCHW float32, (x×0.00392157−[0.5 0.5 0.5])÷[0.5 0.5 0.5]"},
		"no sizes": {`{` + mean + `}`, classify.Tensor{Name: "x", Type: "float32", Shape: []int64{-1, -1, -1, 3}},
			"short side 256 bilinear antialiased, centre 224×224, RGB NHWC float32, (x×0.00392157−[0.5 0.5 0.5])÷[0.5 0.5 0.5]"},
		"ImageNet's, turned for BGR": {`{"preprocess": {"preset": "imagenet"}, "input": {"channels": "BGR"}, "labels": ["cat", "dog"]}`, classify.Tensor{Name: "x", Type: "float32", Shape: []int64{1, 3, 299, 299}},
			"short side 342 bilinear antialiased, centre 299×299, BGR NCHW float32, (x×0.00392157−[0.406 0.456 0.485])÷[0.225 0.224 0.229]"},
		"resize alone": {`{"preprocess": {"preset": "imagenet", "resize": 128, "scale": 1, "mean": [1,2,3], "std": [1,1,1]}, "labels": ["cat", "dog"]}`, classify.Tensor{Name: "x", Type: "float32", Shape: []int64{1, 3, -1, -1}},
			"short side 128 bilinear antialiased, centre 112×112, RGB NCHW float32, (x×1−[1 2 3])÷[1 1 1]"},
		"raw": {`{"preprocess": {"preset": "raw"}, "labels": ["cat", "dog"]}`, classify.Tensor{Name: "x", Type: "float32", Shape: []int64{1, 3, -1, -1}},
			"own size up to 1048576 pixels, RGB NCHW float32, (x×0.00392157−[0 0 0])÷[1 1 1]"},
		"bytes": {`{"labels": ["cat", "dog"]}`, classify.Tensor{Name: "x", Type: "uint8", Shape: []int64{1, 96, 96, 3}},
			"short side 110 bilinear antialiased, centre 96×96, RGB NHWC uint8"},
	} {
		t.Run(name, func(t *testing.T) {
			card, err := classify.ParseCard([]byte(test.card))
			if err != nil {
				t.Fatal(err)
			}
			spec, err := classify.NewSpec(card, facts(test.input, 2))
			if err != nil {
				t.Fatal(err)
			}
			if got := spec.Preprocessing(); got != test.want {
				t.Errorf("preprocessing\n%s, want\n%s", got, test.want)
			}
		})
	}
}

func TestNewSpecAsksForAllThatIsMissing(t *testing.T) {
	input := classify.Tensor{Name: "x", Type: "float32", Shape: []int64{1, -1, -1, -1}}
	_, err := classify.NewSpec(nil, facts(input, 7))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"layout": "NCHW"`, `"preprocess": {"preset": "imagenet"`, `"labels": ["name of class 0", … 7 in all]`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not ask for %s", err, want)
		}
	}
}

func TestFillChecksThePicture(t *testing.T) {
	spec := &classify.Spec{Width: 4, Height: 4, Resize: 4, Scale: 1, Std: [3]float64{1, 1, 1}}
	f := classify.NewFiller[float32](spec)
	for _, img := range []ocelli.Pixels{{}, {Width: 4, Height: 4, RGB: make([]byte, 47)}, {Width: -1, Height: -1, RGB: make([]byte, 3)}} {
		if err := f.Fill(make([]float32, 48), img); err == nil {
			t.Errorf("Fill took a picture of %d×%d with %d bytes", img.Width, img.Height, len(img.RGB))
		}
	}
}

func TestRank(t *testing.T) {
	spec := &classify.Spec{Activation: classify.ActivationNone, Temperature: 1, Labels: []ocelli.Label{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	top := func(scores ...float32) []ocelli.Label {
		t.Helper()
		labels, err := spec.Rank(scores, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range labels {
			if labels[i].Parents == nil {
				t.Error("a label without wider classes has null for their list in JSON")
			}
			labels[i].Parents = nil
			labels[i].Score = float64(int(labels[i].Score*1000+0.5)) / 1000
		}
		return labels
	}
	check := func(what string, got, want []ocelli.Label) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("logits", top(1, 3, 2), []ocelli.Label{{Name: "b", Index: 1, Score: 0.665}, {Name: "c", Index: 2, Score: 0.245}})
	check("equal ones keep the order of the model", top(1, 1, 1), []ocelli.Label{{Name: "a", Score: 0.333}, {Name: "b", Index: 1, Score: 0.333}})
	check("huge logits do not overflow", top(1e38, 3e38, -3e38), []ocelli.Label{{Name: "b", Index: 1, Score: 1}, {Name: "a"}})
	spec.Temperature = 2
	check("a temperature flattens logits", top(1, 3, 2), []ocelli.Label{{Name: "b", Index: 1, Score: 0.506}, {Name: "c", Index: 2, Score: 0.307}})
	spec.Activation = classify.ActivationSoftmax
	check("and probabilities alike", top(0.0900306, 0.665241, 0.2447285), []ocelli.Label{{Name: "b", Index: 1, Score: 0.506}, {Name: "c", Index: 2, Score: 0.307}})
	spec.Activation, spec.Temperature, spec.Labels = classify.ActivationNone, 1, make([]ocelli.Label, 500)
	scores := make([]float32, 500)
	for i := range scores {
		spec.Labels[i].Name = strconv.Itoa(i)
		scores[i] = float32(i * 37 % 500)
	}
	labels, err := spec.Rank(scores, 500)
	if err != nil || len(labels) != 500 || !slices.IsSortedFunc(labels, func(a, b ocelli.Label) int { return stdcmp.Compare(b.Score, a.Score) }) || labels[0].Name != "27" {
		t.Errorf("500 labels: %v, %v", labels[:3], err)
	}
	none := float32(math.Inf(-1)) // the logarithm of a probability of 0
	spec.Labels = []ocelli.Label{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	check("a score of minus infinity", top(none, 0, none), []ocelli.Label{{Name: "b", Index: 1, Score: 1}, {Name: "a", Index: 0, Score: 0}})
	for _, wrong := range [][]float32{{none, none, none}, {1, -none, 0}} {
		if labels, err := spec.Rank(wrong, 2); err == nil {
			t.Errorf("%v are ranked: %v", wrong, labels)
		}
	}
	nan := float32(0)
	if _, err := spec.Rank([]float32{1, nan / nan, 0}, 2); err == nil {
		t.Error("no error for a score that is no number")
	}
}
