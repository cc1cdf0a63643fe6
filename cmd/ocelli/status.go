package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli"
)

func newStatusCommand() *cobra.Command {
	var server serverSettings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the backlog, the workers, the rate and the model of a running service",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	server.register(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printStatus(out io.Writer, s *ocelli.Status) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "backlog\t%d images: %d waiting, %d with workers\n", s.Ready+s.Leased, s.Ready, s.Leased)
	if s.OldestAge > 0 {
		fmt.Fprintf(t, "oldest\t%s\n", (time.Duration(s.OldestAge * float64(time.Second))).Round(100*time.Millisecond))
	}
	fmt.Fprintf(t, "rate\t%.1f images/s\n", s.Rate)
	fmt.Fprintf(t, "workers\t%d, wanted %d, at most %d\n", len(s.Workers), s.Wanted, s.Max)
	if s.Reason != "" {
		fmt.Fprintf(t, "because\t%s\n", s.Reason)
	}
	for _, w := range s.Workers {
		fmt.Fprintf(t, "  %s\t%s (process %d)\n", w.Name, w.State, w.PID)
	}
	if s.Model != nil {
		fmt.Fprintf(t, "model\t%s (SHA-256 %.12s…)\n", s.Model.Name, s.Model.SHA256)
	}
	fmt.Fprintf(t, "version\t%s\n", s.Version)
	if s.Problem != "" {
		fmt.Fprintf(t, "problem\t%s\n", s.Problem)
	}
	return t.Flush()
}
