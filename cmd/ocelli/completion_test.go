package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestCompletionsOfferWhatThereIs(t *testing.T) {
	for line, want := range map[string]string{
		"up --log-level ":       "debug\ninfo\nwarn\nerror\n:4\n",
		"worker --log-format ":  "text\njson\n:4\n",
		"classify --model ec":   "echo\t",
		"models pull mobilenet": "mobilenetv2-12\n",
		"up --data ":            ":16\n", // folders
		"classify --out ":       "ndjson\ncsv\n:8\n",
		"jo":                    "jobs\t",
		"jobs ":                 "results\t",
		"sim --shape ":          "reference\n",
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{cobra.ShellCompRequestCmd}, strings.Split(line, " ")...), nil, &out, &errs); code != exitDone || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %d, %q, want %q", line, code, out.String(), want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, nil, &out, &errs); code != exitDone || !strings.Contains(out.String(), "ocelli") {
			t.Errorf("%s: %d, %s", shell, code, &errs)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"completion", "tcsh"}, nil, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), `no command "tcsh"`) {
		t.Errorf("an unknown shell: %d, %s%s", code, &out, &errs)
	}
}

// A flag that was renamed would go on being offered values nowhere.
func TestCompletionsAreOfFlagsThatThereAre(t *testing.T) {
	root := newRootCommand()
	for name := range completions {
		if !knownElsewhere(root, name) && root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("no command has the flag --%s", name)
		}
	}
}

func TestEachCommandHasAManualPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"man", dir}, nil, &out, &errs); code != exitDone {
		t.Fatalf("%d: %s", code, &errs)
	}
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		if err != nil || !bytes.Contains(page, []byte(".SH NAME")) {
			t.Errorf("%s: %v", cmd.CommandPath(), err)
		}
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newRootCommand())
	if page, _ := os.ReadFile(filepath.Join(dir, "ocelli-classify.1")); !strings.Contains(strings.ReplaceAll(string(page), `\&`, ""), "photos/**/*.jpg") {
		t.Error("a pattern is taken for Markdown")
	}
}
