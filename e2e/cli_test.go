package e2e

import (
	"context"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli/client"
)

// setjob sets JOB to the newest job of the service that OCELLI_KEY may see.
func setjob(ts *testscript.TestScript, _ bool, _ []string) {
	c, err := client.New(serviceOf(ts).url, client.WithKey(ts.Getenv("OCELLI_KEY")))
	ts.Check(err)
	jobs, err := c.Jobs(context.Background(), 1)
	ts.Check(err)
	if len(jobs) == 0 {
		ts.Fatalf("there is no job")
	}
	ts.Setenv("JOB", string(jobs[0].ID))
}
