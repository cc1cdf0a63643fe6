package catalog_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/models"
)

func TestTheCatalogIsSound(t *testing.T) {
	c, err := catalog.Load(models.Files)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Models) < 8 {
		t.Errorf("%d models, want eight or more", len(c.Models))
	}
	for _, e := range c.Models {
		found, err := c.Find(e.Name)
		if err != nil || found.SHA256 != e.SHA256 || c.BySHA256(e.SHA256) != found {
			t.Errorf("%s is not found by name and sum: %v", e.Name, err)
		}
		if e.Card.Metrics["top1"] == nil || !strings.Contains(e.Card.Metrics["data"].(string), "as published") {
			t.Errorf("%s: no published accuracy", e.Name)
		}
		input := classify.Tensor{Name: "x", Type: "float32", Shape: []int64{1, 3, 224, 224}}
		if strings.HasPrefix(e.Name, "efficientnet") {
			input.Shape = []int64{1, 224, 224, 3}
		}
		facts := classify.Facts{Inputs: []classify.Tensor{input}, Outputs: []classify.Tensor{{Name: "y", Type: "float32", Shape: []int64{1, 1000}}}}
		if _, err := classify.NewSpec(&e.Card, facts); err != nil {
			t.Errorf("%s: the card does not say all that is needed: %v", e.Name, err)
		}
	}
	if _, err := c.Find("resnet"); err == nil || !strings.Contains(err.Error(), "resnet50-v1-12") {
		t.Errorf("Find of an unknown name: %v, want the names that there are", err)
	}
}

func TestLoadRefusesAnUnsoundCatalog(t *testing.T) {
	good := `"url": "https://example.org/a.onnx", "size": 3, "sha256": "` + strings.Repeat("a", 64) + `", "license": "MIT"`
	for name, text := range map[string]string{
		"a name that is a path": `{"models": [{"name": "../a", ` + good + `}]}`,
		"an unknown field":      `{"models": [{"name": "a", "x": 1, ` + good + `}]}`,
		"a short sum":           `{"models": [{"name": "a", ` + strings.ReplaceAll(good, "aaaa", "a") + `}]}`,
		"no size":               `{"models": [{"name": "a", ` + strings.ReplaceAll(good, "3", "0") + `}]}`,
		"another scheme":        `{"models": [{"name": "a", ` + strings.ReplaceAll(good, "https", "ftp") + `}]}`,
		"no licence":            `{"models": [{"name": "a", ` + strings.ReplaceAll(good, "MIT", "") + `}]}`,
		"a wrong card":          `{"models": [{"name": "a", "card": {"preprocess": {"preset": "x"}}, ` + good + `}]}`,
		"a name twice":          `{"models": [{"name": "a", ` + good + `}, {"name": "a", ` + good + `}]}`,
		"no JSON":               `{`,
	} {
		if _, err := catalog.Load(fstest.MapFS{"catalog.json": {Data: []byte(text)}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
