package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ocelli/ocelli"
)

// Jobs returns the jobs that were accepted last, newest first. A server tells them only to callers who may know them all.
func (c *Client) Jobs(ctx context.Context, limit int) ([]ocelli.JobSummary, error) {
	var answer struct {
		Jobs []ocelli.JobSummary `json:"jobs"`
	}
	err := c.call(ctx, http.MethodGet, fmt.Sprintf("/v1/jobs?limit=%d", limit), nil, nil, &answer)
	return answer.Jobs, err
}

// WaitForJob returns the state of a job as soon as it has finished, or as it is after wait.
func (c *Client) WaitForJob(ctx context.Context, id ocelli.JobID, wait time.Duration) (*ocelli.Job, error) {
	var job ocelli.Job
	err := c.call(ctx, http.MethodGet, jobPath(id)+"?wait="+wait.String(), nil, nil, &job)
	return &job, err
}

// Cancel ends a job: what has no result yet will have none. It returns the job as it is then.
func (c *Client) Cancel(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	var job ocelli.Job
	err := c.call(ctx, http.MethodDelete, jobPath(id), nil, nil, &job)
	return &job, err
}

// CSV writes the results of a job to out, as a table in CSV.
func (c *Client) CSV(ctx context.Context, id ocelli.JobID, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+jobPath(id)+"/results.csv", nil)
	if err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("the results of job %s %w", id, brokenOff(err))
	}
	return nil
}

func jobPath(id ocelli.JobID) string { return "/v1/jobs/" + url.PathEscape(string(id)) }

// Delete deletes all of a job: its images, its results and what else is kept of it.
func (c *Client) Delete(ctx context.Context, id ocelli.JobID) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.base+jobPath(id)+"?purge=true", nil)
	if err != nil {
		return err
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Retry puts the images of a job that failed back to be tried again. It returns the job as it is then.
func (c *Client) Retry(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	var job ocelli.Job
	err := c.call(ctx, http.MethodPost, jobPath(id)+"/retry", nil, nil, &job)
	return &job, err
}

// RetryImage puts one image that failed back. It returns its job as it is then.
func (c *Client) RetryImage(ctx context.Context, id ocelli.ImageID) (*ocelli.Job, error) {
	var job ocelli.Job
	err := c.call(ctx, http.MethodPost, "/v1/images/"+url.PathEscape(string(id))+"/retry", nil, nil, &job)
	return &job, err
}

// Quarantine returns the images that were given up, a thousand at most.
func (c *Client) Quarantine(ctx context.Context) ([]ocelli.Given, error) {
	var answer struct {
		Images []ocelli.Given `json:"images"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/quarantine", nil, nil, &answer)
	return answer.Images, err
}
