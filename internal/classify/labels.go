package classify

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/models"
)

// The sets of labels that are known without a card's list.
const (
	TinyImageNet200 = "tiny-imagenet-200"
	ImageNet1000    = "imagenet-1000"
	ImageNet1001    = "imagenet-1001" // imagenet-1000 with "background" before it
)

// KnownSets lists the names that [KnownLabels] takes.
func KnownSets() []string { return []string{ImageNet1000, ImageNet1001, TinyImageNet200} }

// KnownLabels returns the labels of a known set, in the order of the scores, with their parents and without scores. The
// caller must not change them.
func KnownLabels(set string) ([]ocelli.Label, error) {
	load, ok := knownSets[set]
	if !ok {
		return nil, fmt.Errorf("no set of labels is named %q; known are %s", set, strings.Join(KnownSets(), ", "))
	}
	return load()
}

var knownSets = map[string]func() ([]ocelli.Label, error){
	ImageNet1000:    sync.OnceValues(func() ([]ocelli.Label, error) { return readLabels(models.Files, ImageNet1000) }),
	TinyImageNet200: sync.OnceValues(func() ([]ocelli.Label, error) { return readLabels(models.Files, TinyImageNet200) }),
	ImageNet1001: sync.OnceValues(func() ([]ocelli.Label, error) {
		thousand, err := readLabels(models.Files, ImageNet1000)
		return append([]ocelli.Label{{Name: "background"}}, thousand...), err
	}),
}

// synset is one node of the tree of WordNet.
type synset struct {
	Name    string   `json:"name"`
	Parents []string `json:"parents"` // wider classes, nearest first
}

// readLabels reads labels/SET.json, an ordered list of ids and names, and adds the parents of labels/wordnet.json.
func readLabels(files fs.FS, set string) ([]ocelli.Label, error) {
	var list []CardLabel
	if err := readJSON(files, "labels/"+set+".json", &list); err != nil {
		return nil, err
	}
	var tree map[string]synset
	if err := readJSON(files, "labels/wordnet.json", &tree); err != nil {
		return nil, err
	}
	labels := make([]ocelli.Label, len(list))
	for i, l := range list {
		labels[i] = ocelli.Label{Name: l.Name, ID: l.ID, Parents: tree[l.ID].Parents}
	}
	return labels, nil
}

func readJSON(files fs.FS, name string, v any) error {
	data, err := fs.ReadFile(files, name)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("read labels %s: %w", path.Base(name), err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
