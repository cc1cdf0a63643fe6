package onnx_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/classifytest"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/internal/ortlib"
)

func library(t testing.TB) string {
	t.Helper()
	path, err := ortlib.Find("")
	if err != nil {
		t.Skip(err)
	}
	return path
}

const colourLabels = `"labels": ["red", "green", "blue", {"name": "grey", "id": "n0", "parents": ["colour"]}]`

func card(t testing.TB, text string) *classify.Card {
	t.Helper()
	c, err := classify.ParseCard([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func options(t testing.TB, data []byte, cardText string) onnx.Options {
	t.Helper()
	o := onnx.Options{Path: "colours.onnx", Data: string(data), Library: library(t), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if cardText != "" {
		o.Card = card(t, cardText)
	}
	return o
}

func open(t testing.TB, n network, cardText string) *onnx.Model {
	t.Helper()
	m, err := onnx.Open(options(t, n.bytes(), cardText))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const imagenetCard = `{"preprocess": {"preset": "imagenet"}, ` + colourLabels + `}`

func TestSuite(t *testing.T) {
	for name, n := range map[string]network{
		"any batch":       {input: []int{0, 3, 32, 32}},
		"one at a time":   {input: []int{1, 3, 32, 32}},
		"a batch of four": {input: []int{4, 3, 24, 40}},
		"channels last":   {input: []int{0, 32, 32, 3}},
		"softmax within":  {input: []int{0, 3, 32, 32}, ending: []string{"Softmax"}},
		"shapes not told": {input: []int{0, 3, 32, 32}, hidden: true},
	} {
		t.Run(name, func(t *testing.T) {
			classifytest.Run(t, func(t *testing.T) classify.Classifier { return open(t, n, imagenetCard) })
		})
	}
	t.Run("raw", func(t *testing.T) {
		classifytest.Run(t, func(t *testing.T) classify.Classifier {
			return open(t, network{input: []int{0, 3, 0, 0}}, `{"preprocess": {"preset": "raw"}, `+colourLabels+`}`)
		})
	})
	t.Run("any size, cropped", func(t *testing.T) {
		classifytest.Run(t, func(t *testing.T) classify.Classifier {
			return open(t, network{input: []int{0, 3, 0, 0}}, `{"preprocess": {"preset": "imagenet", "crop": 48}, `+colourLabels+`}`)
		})
	})
	t.Run("bytes", func(t *testing.T) {
		classifytest.Run(t, func(t *testing.T) classify.Classifier {
			return open(t, network{input: []int{0, 32, 32, 3}, element: 2}, `{"temperature": 100, `+colourLabels+`}`)
		})
	})
}

// plain returns a picture of one colour.
func plain(width, height int, r, g, b byte) ocelli.Pixels {
	return ocelli.Pixels{Width: width, Height: height, RGB: slices.Repeat([]byte{r, g, b}, width*height)}
}

func TestColoursArriveInTheirChannels(t *testing.T) {
	red, blue := plain(50, 40, 250, 10, 10), plain(40, 50, 10, 10, 250)
	for _, test := range []struct {
		name      string
		network   network
		card      string
		wantRed   string
		wantBlue  string
		wantScore float64 // of red, at least
	}{
		{"RGB", network{input: []int{0, 3, 32, 32}}, imagenetCard, "red", "blue", 0.99},
		{"BGR", network{input: []int{0, 3, 32, 32}}, `{"input": {"channels": "BGR"}, "preprocess": {"preset": "imagenet"}, ` + colourLabels + `}`, "blue", "red", 0.99},
		{"channels last", network{input: []int{0, 32, 32, 3}}, imagenetCard, "red", "blue", 0.99},
		{"BGR, channels last", network{input: []int{0, 32, 32, 3}}, `{"input": {"channels": "BGR"}, "preprocess": {"preset": "imagenet"}, ` + colourLabels + `}`, "blue", "red", 0.99},
		{"raw", network{input: []int{0, 3, 0, 0}}, `{"preprocess": {"preset": "raw"}, ` + colourLabels + `}`, "red", "blue", 0.98},
		{"a hot network", network{input: []int{0, 3, 32, 32}, ending: []string{"Softmax"}}, `{"temperature": 1, "preprocess": {"preset": "imagenet"}, ` + colourLabels + `}`, "red", "blue", 0.99},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := open(t, test.network, test.card)
			defer m.Close()
			labels, err := m.Classify(t.Context(), red, blue)
			if err != nil {
				t.Fatal(err)
			}
			if labels[0][0].Name != test.wantRed || labels[1][0].Name != test.wantBlue {
				t.Errorf("a red picture is %q and a blue one %q", labels[0][0].Name, labels[1][0].Name)
			}
			if labels[0][0].Score < test.wantScore {
				t.Errorf("score %g, want %g or more", labels[0][0].Score, test.wantScore)
			}
		})
	}
}

func TestActivationIsReadFromTheFile(t *testing.T) {
	grey := plain(32, 32, 124, 116, 104) // nearly ImageNet's mean, so that logits are near 0
	for _, test := range []struct {
		ending []string
		want   string
		score  float64 // of each class
	}{
		{nil, "none", 0.25},
		{[]string{"Softmax"}, "softmax", 0.25},
		{[]string{"Softmax", "Cast"}, "softmax", 0.25},
		{[]string{"Softmax", "Clip"}, "softmax", 0.25},
		{[]string{"Softmax", "Dropout", "Transpose", "Transpose"}, "softmax", 0.25},
		{[]string{"Sigmoid"}, "sigmoid", 0.5},
		{[]string{"Sigmoid", "Cast"}, "sigmoid", 0.5},
		{[]string{"Relu"}, "none", 0.25},
	} {
		m := open(t, network{input: []int{1, 3, 32, 32}, ending: test.ending}, imagenetCard)
		labels, err := m.Classify(t.Context(), grey)
		if err != nil {
			t.Fatal(err)
		}
		if m.Spec().Activation != test.want || math.Abs(labels[0][0].Score-test.score) > 0.02 {
			t.Errorf("%v: activation %q, score %g, want %q and %g", test.ending, m.Spec().Activation, labels[0][0].Score, test.want, test.score)
		}
		m.Close()
	}
}

func TestOneScoreOfASigmoid(t *testing.T) {
	m := open(t, network{input: []int{0, 3, 32, 32}, classes: 1, ending: []string{"Sigmoid"}}, `{"preprocess": {"preset": "imagenet"}, "labels": ["red"]}`)
	defer m.Close()
	labels, err := m.Classify(t.Context(), plain(32, 32, 250, 10, 10), plain(32, 32, 10, 10, 250))
	if err != nil {
		t.Fatal(err)
	}
	if labels[0][0].Score < 0.99 || labels[1][0].Score > 0.01 {
		t.Errorf("a red picture is red by %g, and a blue one by %g", labels[0][0].Score, labels[1][0].Score)
	}
}

func TestAnOutputWithoutScoresIsAnError(t *testing.T) {
	m := open(t, network{input: []int{1, 3, 32, 32}, empty: true}, imagenetCard)
	defer m.Close()
	if _, err := m.Classify(t.Context(), plain(32, 32, 0, 0, 0)); err == nil || !strings.Contains(err.Error(), "[1 4 0]") {
		t.Errorf("Classify: %v, want an error that shows the output", err)
	}
}

func TestIdentityStandsInTheModel(t *testing.T) {
	m := open(t, network{input: []int{0, 3, 32, 32}}, `{"name": "colours-1", "preprocess": {"mean": [0,0,0], "std": [1,1,1]}, `+colourLabels+`}`)
	defer m.Close()
	got := m.Model()
	if got.Name != "colours-1" || len(got.SHA256) != 64 || !strings.Contains(got.Preprocessing, "short side 37 bilinear") {
		t.Errorf("Model() = %+v", got)
	}
	if m.ShortSide() != 512 {
		t.Errorf("ShortSide() = %d, want 512, which is more than twice 32×256/224", m.ShortSide())
	}
}

func TestWrongModelsGiveOneClearError(t *testing.T) {
	good := network{input: []int{0, 3, 32, 32}}
	ten, _ := json.Marshal(map[string]any{"labels": strings.Split("abcdefghij", ""), "preprocess": map[string]string{"preset": "imagenet"}})
	for name, test := range map[string]struct {
		data []byte
		card string
		want string
	}{
		"a text file":          {[]byte("hello, world, this is text"), imagenetCard, `not an ONNX model: it begins with "hello`},
		"a web page":           {[]byte("<html><body>404"), imagenetCard, "web page"},
		"a pointer of LFS":     {[]byte("version https://git-lfs.github.com/spec/v1\noid"), imagenetCard, "Git LFS pointer"},
		"an empty file":        {[]byte{}, imagenetCard, "it is empty"},
		"cut in the middle":    {good.bytes()[:100], imagenetCard, "cut short"},
		"cut near the end":     {good.bytes()[:len(good.bytes())-9], imagenetCard, "cut short"},
		"cut after its head":   {good.bytes()[:16], imagenetCard, "cut short"},
		"a detector":           {network{input: []int{0, 3, 32, 32}, extra: true}.bytes(), imagenetCard, "looks like a detector"},
		"the wrong output":     {network{input: []int{0, 3, 32, 32}, extra: true}.bytes(), `{"output": {"name": "boxes"}, ` + colourLabels + `}`, `none named "boxes"`},
		"too few labels":       {good.bytes(), string(ten), "gives 4 scores for each image, and there are 10 labels"},
		"hidden, wrong labels": {network{input: []int{0, 3, 32, 32}, hidden: true}.bytes(), string(ten), "gives 4 scores for each image, and there are 10 labels"},
		"weights missing":      {network{input: []int{0, 3, 32, 32}, location: "colours.bin"}.bytes(), imagenetCard, "second file, colours.bin"},
		"weights elsewhere":    {network{input: []int{0, 3, 32, 32}, location: "../../etc/passwd"}.bytes(), imagenetCard, "outside its own folder"},
		"an opset of tomorrow": {network{input: []int{0, 3, 32, 32}, opset: 99}.bytes(), imagenetCard, "too new for this ONNX Runtime"},
		"one score":            {network{input: []int{0, 3, 32, 32}, classes: 1}.bytes(), `{"preprocess": {"preset": "imagenet"}, "labels": ["red"]}`, `{"output": {"activation": "sigmoid"}}`},
		"one score, hidden":    {network{input: []int{0, 3, 32, 32}, classes: 1, hidden: true}.bytes(), `{"preprocess": {"preset": "imagenet"}, "labels": ["red"]}`, `{"output": {"activation": "sigmoid"}}`},
		"a sigmoid, tempered":  {network{input: []int{0, 3, 32, 32}, ending: []string{"Sigmoid"}}.bytes(), `{"temperature": 2, "preprocess": {"preset": "imagenet"}, ` + colourLabels + `}`, "goes with softmax alone"},
		"grey input":           {network{input: []int{0, 1, 32, 32}}.bytes(), imagenetCard, "three colours"},
		"another input type":   {network{input: []int{0, 3, 32, 32}, element: 10}.bytes(), imagenetCard, "only float32 and uint8"},
		"nothing is told":      {good.bytes(), "", `add to its card, a FILE.json beside FILE.onnx: {"preprocess": {"preset": "imagenet", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, "labels": ["name of class 0", … 4 in all]}`},
		"another file's card":  {good.bytes(), `{"sha256": "abc", "preprocess": {"preset": "imagenet"}, ` + colourLabels + `}`, "card is of another file"},
		"raw of a fixed size":  {good.bytes(), `{"preprocess": {"preset": "raw"}, ` + colourLabels + `}`, "at their own size"},
		"another size":         {good.bytes(), `{"preprocess": {"preset": "imagenet", "crop": 64}, ` + colourLabels + `}`, "the card says crop 64"},
		"random bytes":         {[]byte{8, 8, 58, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}, imagenetCard, "not an ONNX model"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, test.data, test.card)
			o.Path, o.Data = filepath.Join(t.TempDir(), "colours.onnx"), ""
			if err := os.WriteFile(o.Path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Open(o)
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, test.want)
			}
			if strings.Count(err.Error(), "model "+o.Path) != 1 {
				t.Errorf("error %q does not name the file once", err)
			}
		})
	}
}

func TestOpenReadsAFile(t *testing.T) {
	o := options(t, nil, imagenetCard)
	o.Path = filepath.Join(t.TempDir(), "colours.onnx")
	if _, err := onnx.Open(o); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Open of a file that is not there: %v", err)
	}
	if err := os.WriteFile(o.Path, network{input: []int{0, 3, 32, 32}}.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Model().Name != "colours" {
		t.Errorf("Model() = %+v", m.Model())
	}
}

// Weights in a second file make another model, while a card names the first file alone.
func TestWeightsInASecondFileCount(t *testing.T) {
	o := options(t, nil, imagenetCard)
	dir := t.TempDir()
	o.Path = filepath.Join(dir, "colours.onnx")
	model := network{input: []int{0, 3, 32, 32}, location: "colours.bin"}.bytes()
	if err := os.WriteFile(o.Path, model, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Card.SHA256 = fmt.Sprintf("%x", sha256.Sum256(model))
	sums := map[string]bool{}
	for _, weights := range []string{"some", "others", "some"} {
		if err := os.WriteFile(filepath.Join(dir, "colours.bin"), []byte(weights), 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := onnx.Inspect(o)
		if err != nil || info.Problem != nil {
			t.Fatalf("%v, %v", err, info)
		}
		sums[info.SHA256] = true
	}
	if len(sums) != 2 || sums[o.Card.SHA256] {
		t.Errorf("two models have the sums %v", sums)
	}
}

func TestASecondLibraryIsRefused(t *testing.T) {
	open(t, network{input: []int{0, 3, 32, 32}}, imagenetCard).Close()
	o := options(t, network{input: []int{0, 3, 32, 32}}.bytes(), imagenetCard)
	o.Library = "/nowhere/libonnxruntime.so"
	if _, err := onnx.Open(o); err == nil || !strings.Contains(err.Error(), "already loaded from") {
		t.Errorf("Open with a second library: %v", err)
	}
}

func FuzzHeader(f *testing.F) {
	for _, n := range []network{{input: []int{0, 3, 32, 32}}, {input: []int{1, 0, 0, 3}, element: 2, ending: []string{"Softmax"}, extra: true}} {
		f.Add(n.bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// The library is never reached: no card fits a library that is not there.
		m, err := onnx.Open(onnx.Options{Path: "x.onnx", Data: string(data), Library: "/nowhere", Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Error("opened", m.Model())
		}
		if strings.ContainsAny(fmt.Sprint(err), "\n") {
			t.Errorf("error of several lines: %q", err)
		}
	})
}
