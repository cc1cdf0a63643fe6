package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/api"
)

// jobsCommand is what the commands under `ocelli jobs` share.
type jobsCommand struct {
	server serverSettings
	asJSON bool
}

func newJobsCommand() *cobra.Command {
	var j jobsCommand
	limit := 20
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "List the jobs of a service; show one, or wait for it; cancel, retry or delete it; fetch its results",
		Long: "Jobs lists the jobs that a service accepted last. A job's id is all that it takes to see it, so a service without API keys\n" +
			"tells the list only to callers on its own machine.",
		Example: "  ocelli jobs\n  ocelli jobs show 01JD…\n  ocelli jobs results 01JD… --csv > labels.csv",
		Args:    knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > api.MostRecentJobs {
				return usageError{fmt.Errorf("--limit=%d is not possible: give 1 to %d", limit, api.MostRecentJobs)}
			}
			c, err := j.server.client()
			if err != nil {
				return err
			}
			jobs, err := c.Jobs(cmd.Context(), limit)
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), jobs, j.asJSON, "There are no jobs.", "JOB\tACCEPTED\tIMAGES\tENDED", func(job ocelli.JobSummary) string {
				return fmt.Sprintf("%s\t%s\t%d\t%d", job.ID, job.Created.Local().Format(time.DateTime), job.Total, job.Ended)
			})
		},
	}
	j.server.register(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&j.asJSON, "json", false, "print JSON, one object per line")
	cmd.Flags().IntVar(&limit, "limit", limit, "how many jobs to list, the newest")
	cmd.AddCommand(j.show(), j.cancel(), j.results(), j.retry(), j.remove(), j.quarantine())
	return cmd
}

// about returns a command that does something with one job.
func (j *jobsCommand) about(use, short string, do func(cmd *cobra.Command, c *client.Client, id ocelli.JobID) error) *cobra.Command {
	return &cobra.Command{
		Use:   use + " JOB",
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one job by its id: %s 01JD…: `ocelli jobs` lists them", cmd.CommandPath())}
			}
			if job, _, ok := ocelli.ImageID(args[0]).Split(); ok {
				return usageError{fmt.Errorf("%s is the id of an image: its job is %s", args[0], job)}
			}
			if !ocelli.JobID(args[0]).Valid() {
				return usageError{fmt.Errorf("%.40q is not the id of a job: `ocelli jobs` lists them", args[0])}
			}
			return nil
		},
		ValidArgsFunction: j.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := j.server.client()
			if err != nil {
				return err
			}
			return do(cmd, c, ocelli.JobID(args[0]))
		},
	}
}

// complete offers the newest jobs.
func (j *jobsCommand) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := j.server.client()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	jobs, err := c.Jobs(cmd.Context(), 20)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, job := range jobs {
		ids = append(ids, fmt.Sprintf("%s\t%d images, %s", job.ID, job.Total, job.Created.Local().Format(time.DateTime)))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

func (j *jobsCommand) show() *cobra.Command {
	var wait time.Duration
	cmd := j.about("show", "Show the state of a job and of each of its images", func(cmd *cobra.Command, c *client.Client, id ocelli.JobID) error {
		if wait < 0 || wait > api.LongestWait {
			return usageError{fmt.Errorf("--wait=%s is not possible: give 0s to %s", wait, api.LongestWait)}
		}
		job, err := c.WaitForJob(cmd.Context(), id, wait)
		if err != nil {
			return err
		}
		return j.print(cmd.OutOrStdout(), job)
	})
	cmd.Flags().DurationVar(&wait, "wait", 0, fmt.Sprintf("wait so long for the job to end, at most %s", api.LongestWait))
	return cmd
}

func (j *jobsCommand) cancel() *cobra.Command {
	return j.about("cancel", "Cancel a job: what has no result yet will have none", func(cmd *cobra.Command, c *client.Client, id ocelli.JobID) error {
		job, err := c.Cancel(cmd.Context(), id)
		if err != nil {
			return err
		}
		return j.print(cmd.OutOrStdout(), job)
	})
}

func (j *jobsCommand) print(out io.Writer, job *ocelli.Job) error {
	if j.asJSON {
		return json.NewEncoder(out).Encode(job)
	}
	fmt.Fprintf(out, "%s  %s: %d images, %d done, %d failed\n", job.ID, job.State, job.Total, job.Done, job.Failed)
	if job.ETA != nil {
		fmt.Fprintf(out, "will be done at about %s\n", job.ETA.Local().Format(time.TimeOnly))
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, image := range job.Images {
		what := ""
		switch {
		case image.Error != nil:
			what = printable(image.Error.Message)
		case image.Result != nil && len(image.Result.Labels) > 0:
			what = fmt.Sprintf("%5.1f %%  %s", 100*image.Result.Labels[0].Score, image.Result.Labels[0].Name)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", printable(image.Name), image.State, what)
	}
	return t.Flush()
}

func (j *jobsCommand) results() *cobra.Command {
	var asCSV bool
	var file string
	cmd := j.about("results", "Print the results of a job: as they come until it is done, or as CSV what is there", func(cmd *cobra.Command, c *client.Client, id ocelli.JobID) (err error) {
		out := cmd.OutOrStdout()
		if file != "" {
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return fmt.Errorf("%w: name a file that is not there yet", err)
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			out = f
		}
		if asCSV {
			return c.CSV(cmd.Context(), id, out)
		}
		lines := json.NewEncoder(out)
		for r, err := range c.Watch(cmd.Context(), id) {
			if err != nil {
				return err
			}
			if err := lines.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
	cmd.Flags().BoolVar(&asCSV, "csv", false, "print CSV instead of one JSON result per line")
	cmd.Flags().StringVar(&file, "out", "", "write to this new `FILE`")
	return cmd
}
