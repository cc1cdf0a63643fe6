package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/models"
)

func newModelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List, fetch, check and measure models",
		Long: "Models lists public models of the catalog, fetches them, checks them, and measures any model on images whose\n" +
			"labels are known. A model that was pulled is used by its name: --model NAME.",
	}
	cmd.AddCommand(newModelsListCommand(), newModelsShowCommand(), newModelsPullCommand(), newModelsVerifyCommand(), newModelsEvalCommand())
	return cmd
}

// modelsFlags are the flags of the commands about pulled models.
type modelsFlags struct {
	dir    string
	asJSON bool
}

func (m *modelsFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&m.dir, "models-dir", "", "`FOLDER` of pulled models (default: ocelli/models in the user's cache folder)")
	cmd.Flags().BoolVar(&m.asJSON, "json", false, "print JSON")
}

// open returns the catalog and the folder.
func (m *modelsFlags) open() (*catalog.Catalog, string, error) {
	c, err := catalog.Load(models.Files)
	if err != nil {
		return nil, "", err
	}
	dir, err := modelsFolder(m.dir)
	return c, dir, err
}

// listed is a line of `models list --json`.
type listed struct {
	Name    string  `json:"name"`
	Size    int64   `json:"size"`
	License string  `json:"license"`
	Top1    float64 `json:"published_top1"`
	Pulled  string  `json:"pulled"` // path of the file, or ""
	URL     string  `json:"url"`
	SHA256  string  `json:"sha256"`
}

func newModelsListCommand() *cobra.Command {
	var flags modelsFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the models of the catalog", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, dir, err := flags.open()
			if err != nil {
				return err
			}
			all := make([]listed, len(c.Models))
			for i, e := range c.Models {
				all[i] = listed{Name: e.Name, Size: e.Size, License: e.License, URL: e.URL, SHA256: e.SHA256}
				all[i].Top1, _ = e.Card.Metrics["top1"].(float64)
				if isFile(e.Path(dir)) {
					all[i].Pulled = e.Path(dir)
				}
			}
			if flags.asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(all)
			}
			return listModels(cmd.OutOrStdout(), all)
		},
	}
	flags.register(cmd)
	return cmd
}

func listModels(out io.Writer, all []listed) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSIZE\tTOP-1 AS PUBLISHED\tLICENCE\tPULLED")
	for _, m := range all {
		pulled := "no"
		if m.Pulled != "" {
			pulled = "yes"
		}
		fmt.Fprintf(w, "%s\t%.1f MB\t%.1f %%\t%s\t%s\n", m.Name, float64(m.Size)/1e6, 100*m.Top1, m.License, pulled)
	}
	return w.Flush()
}

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
		fmt.Fprintf(w, "preprocessing\t%s\nclasses\t%d\n", s.Preprocessing, s.Classes)
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
	if len(s.Card.Labels.List) > 10 {
		short := *s.Card
		short.Labels.List = short.Labels.List[:10]
		return indented(out, short)
	}
	return indented(out, s.Card)
}

func newModelsPullCommand() *cobra.Command {
	var flags modelsFlags
	var mirror, from string
	cmd := &cobra.Command{
		Use: "pull NAME…", Short: "Fetch models of the catalog and check them",
		Long: "Pull fetches models. A transfer that broke off is resumed; a file with another SHA-256 than the catalog's is refused.\n" +
			"The proxies in HTTPS_PROXY and NO_PROXY are honoured.",
		Example: "  ocelli models pull mobilenetv2-12\n  ocelli models pull resnet50-v2-7 --mirror https://mirror.example.org/onnx\n" +
			"  ocelli models pull resnet50-v2-7 --from ~/Downloads/resnet50-v2-7.onnx",
		Args: countArgs(1, 100, "name a model: `ocelli models list` has them"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if mirror != "" && from != "" || from != "" && len(args) > 1 {
				return usageError{errors.New("--from is one file for one model, and does not go with --mirror")}
			}
			c, dir, err := flags.open()
			if err != nil {
				return err
			}
			for _, name := range args {
				e, err := c.Find(name)
				if err != nil {
					return usageError{err}
				}
				if err := pullModel(cmd, e, mirror+from, dir, flags.asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&mirror, "mirror", "", "fetch from this `URL` or folder, which holds the files under their own names")
	cmd.Flags().StringVar(&from, "from", "", "take the model from this local `FILE`")
	return cmd
}

// countArgs refuses a command line with fewer or more arguments.
func countArgs(least, most int, advice string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError{errors.New(advice)}
		}
		return nil
	}
}

func pullModel(cmd *cobra.Command, e *catalog.Entry, source, dir string, asJSON bool) error {
	p := catalog.Puller{Source: source}
	if isTerminal(cmd.ErrOrStderr()) {
		bar := progressbar.DefaultBytes(e.Size, e.Name)
		defer func() { _ = bar.Close() }()
		p.Progress = func(done, _ int64) { _ = bar.Set64(done) }
	}
	path, err := p.Pull(cmd.Context(), e, dir)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"name": e.Name, "file": path, "size": e.Size, "sha256": e.SHA256})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\nuse it with --model %s\n", path, e.Name)
	return err
}

func newModelsVerifyCommand() *cobra.Command {
	var flags modelsFlags
	cmd := &cobra.Command{
		Use: "verify [NAME…]", Short: "Check pulled models against the catalog, all of them where none is named",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, dir, err := flags.open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				for _, e := range c.Models {
					if isFile(e.Path(dir)) {
						args = append(args, e.Name)
					}
				}
			}
			var errs []error
			for _, name := range args {
				e, err := c.Find(name)
				if err == nil {
					err = e.Verify(dir)
				}
				if err := showVerified(cmd.OutOrStdout(), name, err, flags.asJSON); err != nil {
					return err
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	}
	flags.register(cmd)
	return cmd
}

func showVerified(out io.Writer, name string, problem error, asJSON bool) error {
	if asJSON {
		line := map[string]any{"name": name, "ok": problem == nil}
		if problem != nil {
			line["error"] = problem.Error()
		}
		return json.NewEncoder(out).Encode(line)
	}
	if problem != nil {
		return nil // it ends the command, and is told then
	}
	_, err := fmt.Fprintf(out, "%s is as the catalog says\n", name)
	return err
}
