package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli"
)

// newManCommand returns the command that writes the manual, for those who package the binary.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man FOLDER",
		Short:  "Write the manual pages of all commands into a folder",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name one folder for the manual pages: ocelli man FOLDER")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("the manual cannot be written: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			plainText(root)
			date := commitTime()
			header := &doc.GenManHeader{Section: "1", Manual: "Ocelli", Source: "ocelli " + ocelli.Version(), Date: &date}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("the manual cannot be written: %w", err)
			}
			return nil
		},
	}
}

// plainText keeps what looks like Markdown in the texts of a command and those below it from being taken for that.
func plainText(cmd *cobra.Command) {
	cmd.Long = strings.ReplaceAll(cmd.Long, "*", `\*`)
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "*", `\*`) })
	for _, sub := range cmd.Commands() {
		plainText(sub)
	}
}

// commitTime is when what the binary was built of was committed, so that the same source always gives the same manual.
func commitTime() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if at, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				return at
			}
		}
	}
	return time.Now()
}
