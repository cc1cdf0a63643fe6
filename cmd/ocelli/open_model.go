package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/internal/ortlib"
	"github.com/ocelli/ocelli/models"
)

// modelSettings say which model is run.
type modelSettings struct {
	model, card string
	only        string // fingerprint of the one that may be run; "" is any
}

func (s *modelSettings) register(f *pflag.FlagSet) {
	f.StringVar(&s.model, "model", "", "ONNX model `FILE`, or the name of a model that was pulled, or \"echo\", which names the main colour\n"+
		"and runs no network, to measure everything else (default: the one in the binary)")
	f.StringVar(&s.card, "card", "", "card `FILE` of the model (default: the JSON file beside it)")
}

// echoModel is the name of the model that is none: [classify.Echo].
const echoModel = "echo"

// openClassifier loads a model, or none. It gives each image its top best labels.
func openClassifier(s modelSettings, top int, log *slog.Logger) (classify.Classifier, error) {
	if s.model == echoModel {
		return classify.Echo{}, nil
	}
	return openModel(s, top, log)
}

// openModel loads a model. It gives each image its top best labels.
func openModel(s modelSettings, top int, log *slog.Logger) (*onnx.Model, error) {
	o, err := modelOptions(s.model, s.card)
	if err != nil {
		return nil, err
	}
	if o.Library, err = ortlib.Find(""); err != nil {
		return nil, err
	}
	o.TopK, o.Log = top, log
	m, err := onnx.Open(o)
	if err != nil {
		return nil, err
	}
	if s.only != "" && s.only != fingerprint(m.Model(), o.Card) {
		err := fmt.Errorf("the model %s, or its card, was changed while the service runs: put it back as it was, or restart the service with the new one", o.Path)
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// fingerprint tells a model with its card from all others: one service must not give answers of two.
func fingerprint(identity ocelli.Model, card *classify.Card) string {
	text, _ := json.Marshal(card) // it was read from JSON
	sum := sha256.Sum256(append([]byte(identity.SHA256), text...))
	return hex.EncodeToString(sum[:])
}

// identify returns the identity and the fingerprint of a model without loading it.
func identify(s modelSettings) (identity ocelli.Model, only string, err error) {
	if s.model == echoModel {
		return classify.Echo{}.Model(), "", nil
	}
	o, err := modelOptions(s.model, s.card)
	if err != nil {
		return identity, "", err
	}
	info, err := onnx.Inspect(o)
	if err != nil {
		return identity, "", err
	}
	if info.Problem != nil {
		return identity, "", fmt.Errorf("model %s: %w", o.Path, info.Problem)
	}
	identity = info.Identity(o)
	return identity, fingerprint(identity, o.Card), nil
}

// modelOptions finds the file and card that a user means by model: nothing for the default model, a file, or the name of one
// of the catalog that was pulled.
func modelOptions(model, card string) (onnx.Options, error) {
	var o onnx.Options
	var err error
	switch {
	case model == "", model == models.Name && !isPath(model):
		o, err = defaultModel()
	case isPath(model):
		if o.Path = model; !isFile(model) {
			return o, fmt.Errorf("there is no model file %s: `ocelli models list` names models that can be fetched", model)
		}
		o.Card, err = cardBeside(model)
	default:
		o.Path, err = pulledModel(model)
		if err == nil {
			o.Card, err = cardBeside(o.Path)
		}
	}
	if err == nil && card != "" {
		o.Card, err = classify.ReadCard(card)
	}
	return o, err
}

// isPath tells a file from the name of a model of the catalog.
func isPath(model string) bool {
	_, err := os.Stat(model)
	return err == nil || strings.ContainsRune(model, os.PathSeparator) || strings.HasSuffix(model, ".onnx")
}

// defaultModel returns the model in the binary.
func defaultModel() (onnx.Options, error) {
	o := onnx.Options{Path: models.Name + ".onnx", Data: models.Default}
	text, err := fs.ReadFile(models.Files, models.Name+".json")
	if err != nil {
		return o, fmt.Errorf("the default model has no card: %w", err)
	}
	if o.Card, err = classify.ParseCard(text); err != nil {
		return o, fmt.Errorf("the card of the default model: %w", err)
	}
	return o, nil
}

// cardBeside returns the card FILE.json of the model FILE.onnx. Where there is none but the file is one of the catalog, its
// card there serves. nil where there is neither.
func cardBeside(model string) (*classify.Card, error) {
	card, err := classify.ReadCard(strings.TrimSuffix(model, ".onnx") + ".json")
	if !errors.Is(err, fs.ErrNotExist) {
		return card, err
	}
	sum, _, err := catalog.Sum(model)
	if err != nil {
		return nil, nil // opening the model tells what is wrong
	}
	c, err := catalog.Load(models.Files)
	if err != nil {
		return nil, err
	}
	if e := c.BySHA256(sum); e != nil {
		return &e.Card, nil
	}
	return nil, nil
}

// pulledModel returns where a model of the catalog lies.
func pulledModel(name string) (string, error) {
	c, err := catalog.Load(models.Files)
	if err != nil {
		return "", err
	}
	e, err := c.Find(name)
	if err != nil {
		return "", fmt.Errorf("there is no file %s, and %w", name, err)
	}
	dir, err := modelsFolder("")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(e.Path(dir)); err != nil {
		return "", fmt.Errorf("model %s: %w: run `ocelli models pull %s`", name, catalog.ErrNotPulled, name)
	}
	return e.Path(dir), nil
}

// modelsFolderEnv is the environment variable of the flag --models-dir, for the commands that do not have it.
const modelsFolderEnv = "OCELLI_MODELS_DIR"

// modelsFolder returns where models are pulled to: dir, what OCELLI_MODELS_DIR says, or the user's cache folder.
func modelsFolder(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	if dir := os.Getenv(modelsFolderEnv); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no folder to keep models in: set %s (%w)", modelsFolderEnv, err)
	}
	return filepath.Join(cache, "ocelli", "models"), nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
