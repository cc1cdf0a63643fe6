package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/models"
)

func newModelsShowCommand() *cobra.Command {
	var asJSON bool
	var card string
	cmd := &cobra.Command{
		Use: "show [MODEL]", Short: "Show what is known of a model: the default one, a file, or one of the catalog",
		Args: countArgs(0, 1, "name one model, or none for the default one: ocelli models show MODEL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			o, err := modelOptions(name, card)
			if errors.Is(err, catalog.ErrNotPulled) {
				return showEntry(cmd.OutOrStdout(), name)
			}
			if err != nil {
				return err
			}
			info, err := onnx.Inspect(o)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(shownModel(o, info))
			}
			return showModel(cmd.OutOrStdout(), o, info)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&card, "card", "", "card of the model (default: the `FILE` beside it that ends in .json)")
	return cmd
}

// showEntry prints what the catalog says of a model that is not here.
func showEntry(out io.Writer, name string) error {
	c, err := catalog.Load(models.Files)
	if err != nil {
		return err
	}
	e, err := c.Find(name)
	if err != nil {
		return err
	}
	return indented(out, e)
}

func indented(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// shown is what `models show --json` prints.
type shown struct {
	File          string         `json:"file"`
	Size          int64          `json:"size"`
	SHA256        string         `json:"sha256"`
	Producer      string         `json:"producer"`
	Opset         int64          `json:"opset"`
	Inputs        []string       `json:"inputs"`
	Outputs       []string       `json:"outputs"`
	Preprocessing string         `json:"preprocessing,omitempty"`
	Activation    string         `json:"activation,omitempty"`
	Temperature   float64        `json:"temperature,omitempty"`
	Classes       int            `json:"classes,omitempty"`
	Assumed       []string       `json:"assumed,omitempty"`
	Problem       string         `json:"problem,omitempty"`
	Card          *classify.Card `json:"card"`
}

func shownModel(o onnx.Options, info *onnx.Info) shown {
	s := shown{File: o.Path, Size: info.Size, SHA256: info.SHA256, Producer: info.Producer, Opset: info.Opset, Card: o.Card}
	for _, t := range info.Inputs {
		s.Inputs = append(s.Inputs, t.String())
	}
	for _, t := range info.Outputs {
		s.Outputs = append(s.Outputs, t.String())
	}
	if info.Problem != nil {
		s.Problem = info.Problem.Error()
		return s
	}
	s.Preprocessing, s.Classes, s.Assumed = info.Spec.Preprocessing(), len(info.Spec.Labels), info.Spec.Assumed
	s.Activation, s.Temperature = info.Spec.Activation, info.Spec.Temperature
	return s
}

func showModel(out io.Writer, o onnx.Options, info *onnx.Info) error {
	s := shownModel(o, info)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "file\t%s (%.1f MB)\nsha256\t%s\nmade by\t%s, opset %d\n", s.File, float64(s.Size)/1e6, s.SHA256, s.Producer, s.Opset)
	for _, t := range s.Inputs {
		fmt.Fprintf(w, "input\t%s\n", t)
	}
	for _, t := range s.Outputs {
		fmt.Fprintf(w, "output\t%s\n", t)
	}
	if s.Problem == "" {
		fmt.Fprintf(w, "preprocessing\t%s\nactivation\t%s, temperature %g\nclasses\t%d\n", s.Preprocessing, s.Activation, s.Temperature, s.Classes)
	} else {
		fmt.Fprintf(w, "problem\t%s\n", s.Problem)
	}
	for _, a := range s.Assumed {
		fmt.Fprintf(w, "assumed\t%s\n", a)
	}
	if err := w.Flush(); err != nil || s.Card == nil {
		return err
	}
	fmt.Fprintln(out, "card")
	return indented(out, short(*s.Card))
}

// short is a card for people to read: ten labels, and measured shares without their lists by class and confidence, which --json
// and the page of the model show.
func short(card classify.Card) classify.Card {
	card.Labels.List = card.Labels.List[:min(10, len(card.Labels.List))]
	metrics := make(map[string]any, len(card.Metrics))
	for name, measured := range card.Metrics {
		shares, ok := measured.(map[string]any)
		if ok {
			shares = maps.Clone(shares)
			maps.DeleteFunc(shares, func(_ string, share any) bool { _, number := share.(float64); return !number })
			measured = shares
		}
		metrics[name] = measured
	}
	card.Metrics = metrics
	return card
}
