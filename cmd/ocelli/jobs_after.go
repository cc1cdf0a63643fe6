package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
)

// retry is `ocelli jobs retry`: of whole jobs, or of single images.
func (j *jobsCommand) retry() *cobra.Command {
	return &cobra.Command{
		Use:   "retry JOB|IMAGE…",
		Short: "Put images that failed back, to be tried as if they had just been sent",
		Long: "Retry puts the images of a job that failed back, or the single images that are named. Their results are removed and come anew.\n" +
			"What failed for good, like a damaged file, fails again; images whose bytes were never kept have to be sent again.",
		Args: func(cmd *cobra.Command, args []string) error {
			for _, arg := range args {
				if _, _, image := ocelli.ImageID(arg).Split(); !image && !ocelli.JobID(arg).Valid() {
					return usageError{fmt.Errorf("%q is the id of no job and of no image: `ocelli jobs` and `ocelli jobs quarantine` list them", arg)}
				}
			}
			if len(args) == 0 {
				return usageError{fmt.Errorf("name a job or an image by its id: %s 01JD…", cmd.CommandPath())}
			}
			return nil
		},
		ValidArgsFunction: j.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := j.server.client()
			if err != nil {
				return err
			}
			for _, arg := range args {
				var job *ocelli.Job
				if ocelli.JobID(arg).Valid() {
					job, err = c.Retry(cmd.Context(), ocelli.JobID(arg))
				} else {
					job, err = c.RetryImage(cmd.Context(), ocelli.ImageID(arg))
				}
				if err == nil {
					err = j.print(cmd.OutOrStdout(), job)
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// remove is `ocelli jobs rm`.
func (j *jobsCommand) remove() *cobra.Command {
	return j.about("rm", "Delete all of a job, for good: its images, its results and what else is kept of it",
		func(cmd *cobra.Command, c *client.Client, id ocelli.JobID) error {
			if err := c.Delete(cmd.Context(), id); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "Deleted %s.\n", id)
			return err
		})
}

// quarantine is `ocelli jobs quarantine`.
func (j *jobsCommand) quarantine() *cobra.Command {
	return &cobra.Command{
		Use:   "quarantine",
		Short: "List the images that were given up because they took their workers down; their bytes are kept",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := j.server.client()
			if err != nil {
				return err
			}
			images, err := c.Quarantine(cmd.Context())
			if err != nil {
				return err
			}
			return printList(cmd.OutOrStdout(), images, j.asJSON, "No image was given up.", "IMAGE\tSINCE\tNAME\tWHY", func(image ocelli.Given) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s", image.Image, image.Since.Local().Format(time.DateTime), printable(image.Name), printable(image.Error.Message))
			})
		},
	}
}
