package classify_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
)

func TestKnownLabels(t *testing.T) {
	for set, n := range map[string]int{classify.ImageNet1000: 1000, classify.ImageNet1001: 1001, classify.TinyImageNet200: 200} {
		labels, err := classify.KnownLabels(set)
		if err != nil {
			t.Fatal(err)
		}
		if len(labels) != n {
			t.Errorf("%s has %d labels", set, len(labels))
		}
		seen := map[string]bool{}
		for _, l := range labels {
			if l.Name == "background" {
				continue
			}
			if l.Name == "" || len(l.ID) != 9 || l.ID[0] != 'n' || seen[l.ID] {
				t.Errorf("%s has the label %+v", set, l)
			}
			if len(l.Parents) == 0 {
				t.Errorf("%s: %s has no parents", set, l.Name)
			}
			seen[l.ID] = true
		}
	}
	if _, err := classify.KnownLabels("imagenet-22k"); err == nil || !strings.Contains(err.Error(), classify.ImageNet1000) {
		t.Errorf("an unknown set: %v, want the names that there are", err)
	}
}

func TestBackgroundStandsBeforeTheThousand(t *testing.T) {
	thousand, err := classify.KnownLabels(classify.ImageNet1000)
	if err != nil {
		t.Fatal(err)
	}
	more, err := classify.KnownLabels(classify.ImageNet1001)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]ocelli.Label{{Name: "background"}}, thousand...), more); diff != "" {
		t.Error(diff)
	}
	if thousand[207].ID != "n02099601" || thousand[207].Name != "golden retriever" {
		t.Errorf("class 207 is %+v", thousand[207])
	}
}

func TestLabelsOfImageNetAreAssumedByTheirNumber(t *testing.T) {
	card, err := classify.ParseCard([]byte(`{"preprocess": {"preset": "imagenet"}}`))
	if err != nil {
		t.Fatal(err)
	}
	input := classify.Tensor{Name: "x", Type: "float32", Shape: []int64{1, 3, 224, 224}}
	for width, set := range map[int64]string{1000: classify.ImageNet1000, 1001: classify.ImageNet1001} {
		spec, err := classify.NewSpec(card, facts(input, width))
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(spec.Labels)) != width || spec.LabelSet != set || len(spec.Assumed) != 1 {
			t.Errorf("%d scores: %d labels of %q, assumed %q", width, len(spec.Labels), spec.LabelSet, spec.Assumed)
		}
	}
	if _, err := classify.NewSpec(card, facts(input, 200)); err == nil || !strings.Contains(err.Error(), "200 in all") {
		t.Errorf("200 scores: %v, want to be asked for the labels", err)
	}
}
