package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli/internal/scale"
)

func newWhyCommand() *cobra.Command {
	var server serverSettings
	var since time.Duration
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:   "why",
		Short: "Say why there are as many workers as there are, and were",
		Long: "Why prints the scaling decisions of late that changed the number of workers, oldest first: when, how many, why, and\n" +
			"what one worker more or less would have meant. With --json every decision is one line that `ocelli sim` can replay.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := server.client()
			if err != nil {
				return err
			}
			if since <= 0 {
				return usageError{fmt.Errorf("--since=%s is not possible: give a duration like 1h", since)}
			}
			decisions, err := c.Decisions(cmd.Context(), since)
			if err != nil {
				return err
			}
			return printDecisions(cmd.OutOrStdout(), decisions, since, all, asJSON)
		},
	}
	server.register(cmd.Flags())
	cmd.Flags().DurationVar(&since, "since", time.Hour, "how far to look back")
	cmd.Flags().BoolVar(&all, "all", false, "also the decisions that changed nothing but the reason")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one decision per line, whole")
	return cmd
}

func printDecisions(out io.Writer, decisions []json.RawMessage, since time.Duration, all, asJSON bool) error {
	if len(decisions) == 0 && !asJSON {
		_, err := fmt.Fprintf(out, "Nothing was changed in the last %s.\n", since)
		return err
	}
	want := -1
	for _, line := range decisions {
		if asJSON {
			if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
				return err
			}
			continue
		}
		var d scale.Decision
		if err := json.Unmarshal(line, &d); err != nil {
			return fmt.Errorf("the server answered a decision that cannot be read: %w", err)
		}
		acted := d.Done != nil && d.Done.Any() // also with as many wanted as before, where a worker was lost
		if d.Want == want && !acted && d.Changed == "" && !all {
			continue
		}
		want = d.Want
		_, err := fmt.Fprintf(out, "%s  %2d  %s\n", d.Seen.Now.Local().Format("Jan 02 15:04:05"), d.Want, d.Reason)
		if err != nil {
			return err
		}
		if d.Changed != "" {
			if _, err := fmt.Fprintf(out, "%22ssettings changed: %s\n", "", d.Changed); err != nil {
				return err
			}
		}
		if acted {
			if _, err := fmt.Fprintf(out, "%22s%s\n", "", d.Done); err != nil {
				return err
			}
		}
		for _, other := range []*scale.Outcome{d.Fewer, d.More} {
			if other != nil && d.Seen.Ready+d.Seen.Leased > 0 {
				if _, err := fmt.Fprintf(out, "%22swith %d %s: %s\n", "", other.Workers, plural(other.Workers, "worker", "workers"), outcome(*other)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// outcome says what a number of workers was predicted to lead to.
func outcome(o scale.Outcome) string {
	text := fmt.Sprintf("done after %.1f s", o.Finish)
	if o.Finish < 0 {
		text = "never done"
	}
	if o.WorkerSeconds >= 0 {
		text += fmt.Sprintf(", %.1f worker-seconds", o.WorkerSeconds)
	}
	if o.USD > 0 {
		text += fmt.Sprintf(", $%.5f", o.USD)
	}
	return text
}
