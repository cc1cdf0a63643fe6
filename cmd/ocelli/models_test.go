package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/bulk"
	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/eval"
	"github.com/ocelli/ocelli/internal/ortlib"
	"github.com/ocelli/ocelli/models"
)

// runModels runs `ocelli models` and returns its exit code and output.
func runModels(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), append([]string{"models"}, args...), nil, &out, &errs)
	return code, out.String(), errs.String()
}

func TestModelsList(t *testing.T) {
	dir := t.TempDir()
	code, out, _ := runModels(t, "list", "--models-dir", dir)
	if code != exitDone || !strings.Contains(out, "mobilenetv2-12") || !strings.Contains(out, "69.5 %") {
		t.Errorf("list: %d\n%s", code, out)
	}
	code, out, _ = runModels(t, "list", "--models-dir", dir, "--json")
	var all []listed
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitDone || len(all) < 8 {
		t.Errorf("list --json: %d, %v\n%s", code, err, out)
	}
}

func TestModelsRefuseWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"pull"}, {"pull", "nonesuch"}, {"eval"}, {"show", "a", "b"}, {"pull", "a", "b", "--from", "x"}} {
		if code, out, errs := runModels(t, args...); code != exitUsage || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestModelsPullRefusesAnotherFile(t *testing.T) {
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "x.onnx")
	c, err := catalog.Load(models.Files)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, make([]byte, c.Models[0].Size), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runModels(t, "pull", c.Models[0].Name, "--models-dir", dir, "--from", file)
	if left, _ := os.ReadDir(dir); code != exitFailed || !strings.Contains(errs, "refused") || len(left) > 0 {
		t.Errorf("pull: %d, %s, left %v", code, errs, left)
	}
	if code, _, errs := runModels(t, "verify", c.Models[0].Name, "--models-dir", dir); code != exitFailed || !strings.Contains(errs, "has not been pulled") {
		t.Errorf("verify: %d, %s", code, errs)
	}
}

func TestVerifySaysThatThereIsNothingToVerify(t *testing.T) {
	t.Setenv(modelsFolderEnv, t.TempDir())
	if code, out, errs := runModels(t, "verify"); code != exitDone || !strings.Contains(out, "No model was pulled yet") {
		t.Errorf("verify: %d, %s%s", code, out, errs)
	}
}

func TestShowLeavesOutTheLongLists(t *testing.T) {
	code, out, errs := runModels(t, "show")
	if code != exitDone || !strings.Contains(out, "none, temperature 1") || !strings.Contains(out, `"top5"`) || strings.Contains(out, "calibration") || strings.Count(out, "\n") > 80 {
		t.Errorf("show: %d, %d lines\n%s%s", code, strings.Count(out, "\n"), out, errs)
	}
	_, whole, _ := runModels(t, "show", "--json")
	if !strings.Contains(whole, "calibration") {
		t.Errorf("show --json leaves out what was measured: %s", whole)
	}
}

func TestShowOfAModelThatWasNotPulled(t *testing.T) {
	t.Setenv(modelsFolderEnv, t.TempDir())
	code, out, _ := runModels(t, "show", "googlenet-12")
	var e catalog.Entry
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != exitDone || e.Card.Input.Channels != "BGR" {
		t.Errorf("show: %d, %v\n%s", code, err, out)
	}
}

func TestAMissingModelIsOneClearSentence(t *testing.T) {
	t.Setenv(modelsFolderEnv, t.TempDir())
	for model, want := range map[string]string{
		"none.onnx":      "there is no model file none.onnx",
		"mobilenetv2-12": "run `ocelli models pull mobilenetv2-12`",
		"mobilnet":       `no model is named "mobilnet" in the catalog`,
	} {
		if _, err := openModel(modelSettings{model: model}, 5, newLogger(os.Stderr, "error")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", model, err, want)
		}
	}
}

func TestEvalTellsWhenThereAreNoFigures(t *testing.T) {
	if _, err := ortlib.Find(""); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	for name, want := range map[string]struct {
		code   int
		stderr string
	}{
		"goldfish":   {exitSome, "1 image failed"},
		"no such ID": {exitFailed, "the model knows none of the labels"},
	} {
		class := filepath.Join(dir, name, name)
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, "x.jpg"), []byte("no picture"), 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := runModels(t, "eval", filepath.Dir(class))
		if code != want.code || !strings.Contains(errs, want.stderr) || strings.Contains(out, "top-1") {
			t.Errorf("%s: %d\n%s%s", name, code, out, errs)
		}
	}
	if _, out, _ := runModels(t, "eval", "--help"); strings.Contains(out, "echo") {
		t.Errorf("eval offers a model that recognises nothing:\n%s", out)
	}
}

func TestAWorkerRefusesAModelThatWasChanged(t *testing.T) {
	if _, err := ortlib.Find(""); err != nil {
		t.Skip(err)
	}
	s := modelSettings{card: filepath.Join(t.TempDir(), "card.json")}
	card := func(name string) {
		if err := os.WriteFile(s.card, []byte(`{"name": "`+name+`", "preprocess": {"preset": "imagenet"}, "labels": "tiny-imagenet-200"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	card("one")
	var err error
	if _, s.only, err = identify(s); err != nil {
		t.Fatal(err)
	}
	args := workerArgs(sharedSettings{}, workerSettings{modelSettings: s}, urls{})
	if !slices.Contains(args, "--only-model="+s.only) {
		t.Errorf("workers are started with %q", args)
	}
	open := func() error {
		m, err := openClassifier(s, 1, newLogger(os.Stderr, "error"))
		if err == nil {
			m.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Errorf("as it was: %v", err)
	}
	card("two")
	if err := open(); err == nil || !strings.Contains(err.Error(), "was changed while the service runs") {
		t.Errorf("with another card: %v", err)
	}
}

// The two models and the photos are not part of the repository. Their note states 87 and 88 of 100 for the first label and 99 for
// the first five; golden files state the labels that Pillow's pixels give.
func TestImageNetModelsOnPhotos(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared")
	if _, err := os.Stat(filepath.Join(shared, "models")); err != nil {
		t.Skip("no ../shared/models beside the repository")
	}
	if _, err := ortlib.Find(""); err != nil {
		t.Skip(err)
	}
	card := filepath.Join(t.TempDir(), "card.json")
	if err := os.WriteFile(card, []byte(`{"preprocess": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}, "labels": "imagenet-1000"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"fp32", "qdq_s8"} {
		t.Run(kind, func(t *testing.T) {
			model := filepath.Join(shared, "models", "mobilenet_v2_tf2_"+kind+".onnx")
			code, out, errs := runModels(t, "eval", filepath.Join(shared, "data", "photos"), "--model", model, "--card", card, "--json")
			var r eval.Report
			if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone {
				t.Fatalf("eval: %d, %v, %s", code, err, errs)
			}
			t.Logf("top-1 %g, top-5 %g, %.0f images/s", r.Top1, r.Top5, r.ImagesPerSecond)
			if r.N != 100 || r.Top1 < 0.87 || r.Top5 < 0.99 {
				t.Errorf("top-1 %g, top-5 %g of %d", r.Top1, r.Top5, r.N)
			}
			if kind == "fp32" {
				return // one golden file is enough to know the pixels
			}
			if agree := agreement(t, model, card, filepath.Join(shared, "models", "golden-photos-"+kind+".tsv"), filepath.Join(shared, "data", "photos")); agree < 97 {
				t.Errorf("the first label is that of the golden file for %d of 100", agree)
			}
		})
	}
}

// agreement counts the photos whose first label is that of the golden file.
func agreement(t *testing.T, model, card, golden, photos string) int {
	t.Helper()
	want := map[string]string{}
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Split(s.Text(), "\t")
		if len(fields) == 3 && !strings.HasPrefix(fields[0], "#") {
			want[fields[0]], _, _ = strings.Cut(fields[2], ":")
		}
	}
	m, err := openModel(modelSettings{model: model, card: card}, 1, newLogger(os.Stderr, "error"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	agree := 0
	find := func(context.Context) iter.Seq[bulk.Item] {
		return func(yield func(bulk.Item) bool) {
			for name := range want {
				if !yield(bulk.Local(filepath.Join(photos, name))) {
					return
				}
			}
		}
	}
	err = bulk.Here(m, 2)(t.Context(), find, func(item bulk.Item, res ocelli.Result) error {
		if res.Error != nil {
			return res.Error
		}
		if res.Labels[0].ID == want[filepath.Base(item.Name)] {
			agree++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the first label is that of the golden file for %d of %d", agree, len(want))
	return agree
}
