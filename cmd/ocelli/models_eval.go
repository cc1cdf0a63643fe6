package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/eval"
)

func newModelsEvalCommand() *cobra.Command {
	var model modelSettings
	var asJSON bool
	cmd := &cobra.Command{
		Use: "eval PATH", Short: "Measure a model on images whose labels are known",
		Long: "Eval classifies images whose labels are known and prints how often the model is right. PATH is a folder with a\n" +
			"folder of images for each class, named by its WordNet id or name, or a CSV file with lines of file,label. Images\n" +
			"whose class the model does not know are left out of the figures.",
		Args: countArgs(1, 1, "name one folder or CSV file: ocelli models eval PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			items, err := eval.Items(args[0])
			if err != nil {
				return err
			}
			m, err := openModel(model, classify.DefaultTop, newLogger(cmd.ErrOrStderr(), "info"))
			if err != nil {
				return err
			}
			defer m.Close()
			decoder := decode.New(decode.Limits{})
			o := eval.Options{Classifier: m, Labels: m.Spec().Labels, MaxImage: maxImageBytes}
			o.Decode = func(ctx context.Context, data []byte, shortSide int) (ocelli.Pixels, error) {
				picture, err := decoder.Decode(ctx, data, shortSide)
				return picture.Pixels, err
			}
			if isTerminal(cmd.ErrOrStderr()) {
				bar := progressbar.Default(int64(len(items)), "evaluating")
				defer func() { _ = bar.Close() }()
				o.Progress = func(done, _ int) { _ = bar.Set(done) }
			}
			r, err := eval.Run(cmd.Context(), items, o)
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			} else {
				err = showEval(cmd.OutOrStdout(), r)
			}
			switch {
			case err != nil:
				return err
			case r.Failed > 0:
				fmt.Fprintf(cmd.ErrOrStderr(), "ocelli: %d %s\n", r.Failed, plural(r.Failed, "image failed", "images failed"))
				return errSomeFailed
			case r.N == 0:
				return errors.New("the model knows none of the labels: give those of its card, or their WordNet ids")
			}
			return nil
		},
	}
	model.register(cmd.Flags())
	cmd.Flags().Lookup("model").Usage = "ONNX model `FILE`, or the name of a model that was pulled (default: the one in the binary)"
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}

func showEval(out io.Writer, r *eval.Report) error {
	if r.N > 0 {
		fmt.Fprintln(out, r.Summary())
	}
	if r.Unknown > 0 {
		fmt.Fprintf(out, "%d more are of classes that the model does not know\n", r.Unknown)
	}
	if r.Failed > 0 {
		fmt.Fprintf(out, "%d more could not be read:\n", r.Failed)
		for _, f := range r.Failures {
			fmt.Fprintf(out, "  %s\n", f)
		}
	}
	if len(r.Confusions) == 0 {
		return nil
	}
	fmt.Fprintln(out, "worst confusions:")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range r.Confusions {
		fmt.Fprintf(w, "  %d ×\t%s\ttaken for %s\n", c.Count, c.Truth, c.Taken)
	}
	return w.Flush()
}
