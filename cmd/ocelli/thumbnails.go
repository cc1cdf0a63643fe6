package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/sandbox"
	"github.com/ocelli/ocelli/internal/thumb"
)

// thumbnailsCommand is the name of the command that web nodes run; people have no use for it.
const thumbnailsCommand = "make-thumbnails"

// thumbnailsBound is how much memory it may make writable: one picture of the largest size that is decoded, and room.
const thumbnailsBound = 768 << 20

func newThumbnailsCommand() *cobra.Command {
	return &cobra.Command{
		Use:         thumbnailsCommand,
		Short:       "Make small copies of the pictures on the standard input; web nodes run it",
		Hidden:      true,
		Args:        noArgs,
		Annotations: map[string]string{flagsOnly: "a web node gives it nothing to set"},
		RunE: func(*cobra.Command, []string) error {
			tune(workerMemory)
			// Where the system can confine it only in part, that part holds.
			if _, err := sandbox.Enter(sandbox.Policy{Memory: thumbnailsBound}); err != nil && !errors.Is(err, sandbox.ErrUnsupported) {
				return err
			}
			return thumb.Serve(os.Stdin, os.Stdout)
		},
	}
}
