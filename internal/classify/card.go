package classify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// Card says what a model file cannot: how a picture becomes its input and what its scores mean. It is a
// JSON file beside the model. Every field may be left out; [NewSpec] reads what it can from the model and
// asks for the rest.
type Card struct {
	Name        string         `json:"name,omitempty"`
	Version     string         `json:"version,omitempty"`
	Description string         `json:"description,omitempty"`
	License     string         `json:"license,omitempty"` // SPDX identifier
	Source      string         `json:"source,omitempty"`  // where the weights come from
	SHA256      string         `json:"sha256,omitempty"`  // of the model file; one that differs is refused
	Task        string         `json:"task,omitempty"`    // "image-classification" or "classification"
	Input       CardInput      `json:"input,omitzero"`
	Preprocess  CardPreprocess `json:"preprocess,omitzero"`
	Output      CardOutput     `json:"output,omitzero"`
	Temperature float64        `json:"temperature,omitempty"` // logits are divided by it before softmax; 1 where left out
	Labels      CardLabels     `json:"labels,omitzero"`
	Metrics     map[string]any `json:"metrics,omitempty"` // what was measured; only ever shown
}

// CardInput describes the tensor that a model takes.
type CardInput struct {
	Name     string `json:"name,omitempty"`
	Layout   string `json:"layout,omitempty"`   // "NCHW" or "NHWC"
	Channels string `json:"channels,omitempty"` // "RGB" or "BGR"; RGB where left out
	Type     string `json:"type,omitempty"`     // "float32" or "uint8"
}

// CardPreprocess describes how a picture becomes that tensor. A float is (pixel × Scale − Mean) ÷ Std, channel by
// channel in the model's order of channels, pixels being 0 to 255.
type CardPreprocess struct {
	// Preset is "imagenet" (scale the short side to Resize, cut Crop × Crop from the centre, normalise) or "raw" (the
	// picture's own size, pixels ÷ 255, nothing else).
	Preset        string    `json:"preset,omitempty"`
	Resize        int       `json:"resize,omitempty"`        // short side in pixels
	Crop          int       `json:"crop,omitempty"`          // side in pixels
	Interpolation string    `json:"interpolation,omitempty"` // "bilinear", antialiased
	Scale         float64   `json:"scale,omitempty"`         // 1/255 where left out
	Mean          []float64 `json:"mean,omitempty"`          // three; ImageNet's where left out
	Std           []float64 `json:"std,omitempty"`           // three; ImageNet's where left out
}

// CardOutput describes the tensor of scores.
type CardOutput struct {
	Name       string `json:"name,omitempty"`
	Activation string `json:"activation,omitempty"` // what the model has applied itself: "none" (logits), "softmax" or "sigmoid"
}

// CardLabels names the classes in the order of the scores: the name of a known set, or the labels themselves, each a
// name or an object with id, name and parents.
type CardLabels struct {
	Set  string
	List []CardLabel
}

// CardLabel is one class of a card.
type CardLabel struct {
	ID      string   `json:"id,omitempty"`
	Name    string   `json:"name"`
	Parents []string `json:"parents,omitempty"`
}

// UnmarshalJSON takes a string or an object.
func (l *CardLabel) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &l.Name); err == nil {
		return nil
	}
	type plain CardLabel
	return strict(data, (*plain)(l))
}

// UnmarshalJSON takes the name of a set or a list.
func (l *CardLabels) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &l.Set); err == nil {
		return nil
	}
	return json.Unmarshal(data, &l.List)
}

// MarshalJSON gives what UnmarshalJSON takes.
func (l CardLabels) MarshalJSON() ([]byte, error) {
	if l.Set != "" {
		return json.Marshal(l.Set)
	}
	return json.Marshal(l.List)
}

// maxCard is the size in bytes above which a card is refused: a thousand labels with parents take 200 KB.
const maxCard = 16 << 20

// ReadCard reads the card at path. A file that does not exist gives an error that wraps [os.ErrNotExist].
func ReadCard(path string) (*Card, error) {
	// Opening a pipe would wait for whoever writes to it.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("model card %s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read model card: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCard+1))
	if err != nil {
		return nil, fmt.Errorf("read model card: %w", err)
	}
	if len(data) > maxCard {
		return nil, fmt.Errorf("model card %s is over %d MB: it is not a card", path, maxCard>>20)
	}
	card, err := ParseCard(data)
	if err != nil {
		return nil, fmt.Errorf("model card %s: %w", path, err)
	}
	return card, nil
}

// ParseCard reads a card from JSON and refuses what it does not know, all of it at once.
func ParseCard(data []byte) (*Card, error) {
	var card Card
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("not valid JSON: %w", err)
	}
	if unknown := unknownFields("", tree, reflect.TypeFor[Card]()); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown field %s", strings.Join(unknown, ", "))
	}
	if err := strict(data, &card); err != nil {
		return nil, err
	}
	return &card, errors.Join(card.problems()...)
}

// problems returns what is wrong in the card whatever the model.
func (c *Card) problems() []error {
	var errs []error
	oneOf := func(field, value string, allowed ...string) {
		for _, a := range append(allowed, "") {
			if value == a {
				return
			}
		}
		errs = append(errs, fmt.Errorf("%s is %q: it must be %s", field, value, strings.Join(allowed, " or ")))
	}
	oneOf("task", c.Task, "image-classification", "classification")
	oneOf("input.layout", c.Input.Layout, "NCHW", "NHWC")
	oneOf("input.channels", c.Input.Channels, "RGB", "BGR")
	oneOf("input.type", c.Input.Type, "float32", "uint8")
	oneOf("preprocess.preset", c.Preprocess.Preset, PresetImageNet, PresetRaw)
	oneOf("preprocess.interpolation", c.Preprocess.Interpolation, "bilinear")
	oneOf("output.activation", c.Output.Activation, ActivationNone, ActivationSoftmax, ActivationSigmoid)
	p := c.Preprocess
	if p.Preset == PresetRaw && (p.Resize != 0 || p.Crop != 0 || p.Mean != nil || p.Std != nil || p.Scale != 0) {
		errs = append(errs, errors.New(`preprocess.preset "raw" goes with no resize, crop, scale, mean or std`))
	}
	if p.Resize < 0 || p.Crop < 0 || max(p.Resize, p.Crop) > maxSide {
		errs = append(errs, fmt.Errorf("preprocess.resize and crop must be 1 to %d pixels", maxSide))
	}
	if (p.Mean != nil && len(p.Mean) != 3) || (p.Std != nil && len(p.Std) != 3) {
		errs = append(errs, errors.New("preprocess.mean and std must have three numbers each"))
	}
	for _, s := range p.Std {
		if s <= 0 {
			errs = append(errs, errors.New("preprocess.std must be above 0"))
			break
		}
	}
	if p.Scale < 0 || c.Temperature < 0 {
		errs = append(errs, errors.New("preprocess.scale and temperature must be above 0"))
	}
	return errs
}

// strict decodes data into v and refuses unknown fields.
func strict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// unknownFields lists the paths of the keys of tree that the struct type t has no field for.
func unknownFields(prefix string, tree any, t reflect.Type) []string {
	object, ok := tree.(map[string]any)
	if !ok || t.Kind() != reflect.Struct {
		return nil
	}
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
	}
	var unknown []string
	for _, key := range sortedKeys(object) {
		if ft, known := fields[key]; !known {
			unknown = append(unknown, fmt.Sprintf("%q", prefix+key))
		} else {
			unknown = append(unknown, unknownFields(prefix+key+".", object[key], ft)...)
		}
	}
	return unknown
}
