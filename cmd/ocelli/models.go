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
	"github.com/ocelli/ocelli/models"
)

func newModelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List, fetch, check and measure models",
		Long: "Models lists public models of the catalog, fetches them, checks them, and measures any model on images whose\n" +
			"labels are known. A model that was pulled is used by its name: --model NAME.",
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
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

func newModelsPullCommand() *cobra.Command {
	var flags modelsFlags
	var mirror, from string
	cmd := &cobra.Command{
		Use: "pull NAME…", Short: "Fetch models of the catalog and check them",
		Long: "Pull fetches models. A transfer that broke off is resumed; a file with another SHA-256 than the catalog's is refused.\n" +
			"The proxies in HTTPS_PROXY and NO_PROXY are honoured.",
		Example: "  ocelli models pull mobilenetv2-12\n  ocelli models pull resnet50-v2-7 --mirror https://mirror.example.org/onnx\n" +
			"  ocelli models pull resnet50-v2-7 --from ~/Downloads/resnet50-v2-7.onnx",
		Args: countArgs(1, 100, "name a model: `ocelli models list` has them"), ValidArgsFunction: completeCatalog,
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
			if len(args) == 0 && !flags.asJSON {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "No model was pulled yet: `ocelli models pull NAME` fetches one.")
				return err
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
