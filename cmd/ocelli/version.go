package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli"
)

// licenses are the licences of everything in the binary; a build with the tag "dist" sets them.
var licenses = "This binary was built from source: the licences of its parts are in the source of its Go modules.\n"

// packed tells that the binary holds all that a worker needs; a build with the tag "dist" sets it.
var packed bool

func newVersionCommand() *cobra.Command {
	var showLicenses bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showLicenses {
				_, err := fmt.Fprint(cmd.OutOrStdout(), licenses)
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "ocelli", ocelli.Version())
			return err
		},
	}
	cmd.Flags().BoolVar(&showLicenses, "licenses", false, "print the licences of everything in this binary")
	return cmd
}
