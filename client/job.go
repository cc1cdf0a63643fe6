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
		return fmt.Errorf("the results of job %s broke off: %w", id, err)
	}
	return nil
}

func jobPath(id ocelli.JobID) string { return "/v1/jobs/" + url.PathEscape(string(id)) }
