package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/sandbox"
	"github.com/ocelli/ocelli/internal/sim"
	"github.com/ocelli/ocelli/models"
)

// completions offer values of flags, by their names: a flag means the same wherever it is.
var completions = map[string]cobra.CompletionFunc{
	"log-level":  choices("debug", "info", "warn", "error"),
	"log-format": choices("text", "json"),
	"sandbox":    choices(sandbox.Auto, sandbox.Require, sandbox.Off),
	"model":      completeModel,
	"listen":     choices(defaultListen, ":8080"),
	"server":     choices(defaultServer),
	"mix":        choices("single", "job10", "job100", "single:8,job10:1,job100:1"),
	"rate":       choices("10/s", "100/s"),
	"ramp":       choices("10/s..200/s"),
	"size":       choices("480x360", "1920x1080", "4032x3024"),
	"shape":      choices(sim.Shapes...),
	"config":     files("toml"),
	"card":       files("json"),
	"out":        files("ndjson", "csv"),
	"watch":      folders,
	"images":     folders,
	"data":       folders,
	"models-dir": folders,
}

func choices(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

func files(endings ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(endings, cobra.ShellCompDirectiveFilterFileExt)
}

func folders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeModel offers the models that were pulled, beside files.
func completeModel(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names := []cobra.Completion{cobra.CompletionWithDesc(echoModel, "names the main colour and runs no network")}
	c, err := catalog.Load(models.Files)
	if err != nil {
		return names, cobra.ShellCompDirectiveDefault
	}
	dir, err := modelsFolder("")
	for i := range c.Models {
		if _, missing := os.Stat(c.Models[i].Path(dir)); err == nil && missing == nil {
			names = append(names, c.Models[i].Name)
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

// completeCatalog offers the names of the catalog.
func completeCatalog(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, err := catalog.Load(models.Files)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for i := range c.Models {
		names = append(names, c.Models[i].Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// addCompletion adds the command that prints scripts for shells. It writes to what is the root's output now. Of itself it would take
// a shell that it does not know for a call for help.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			cmd.Args, cmd.RunE = knownCommand, root.RunE
		}
	}
}

// complete gives a command and those below it their completions.
func complete(cmd *cobra.Command) {
	give := func(f *pflag.Flag) {
		if values := completions[f.Name]; values != nil {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, values) // it fails only for a flag that is not there, or has one
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(give)
	cmd.PersistentFlags().VisitAll(give)
	for _, sub := range cmd.Commands() {
		complete(sub)
	}
}
