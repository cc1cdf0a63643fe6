package api_test

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/api"
)

func TestJobsAreListedCancelledAndFetchedByTheClient(t *testing.T) {
	url := serve(t)
	c, err := client.New(url, client.WithKey("secret"))
	if err != nil {
		t.Fatal(err)
	}
	contentType, body := form(t, "r.png", red, "notes.txt", []byte("text"))
	call(t, "POST", url+"/v1/jobs?wait=30s", contentType, body)
	call(t, "POST", url+"/v1/jobs?wait=30s", contentType, body)

	jobs, err := c.Jobs(t.Context(), 10)
	if err != nil || len(jobs) != 2 || jobs[0].ID == jobs[1].ID || jobs[0].Total != 2 || jobs[0].Ended != 2 {
		t.Fatalf("listed are %+v, %v", jobs, err)
	}
	job, err := c.WaitForJob(t.Context(), jobs[0].ID, 0)
	if err != nil || job.Done != 1 || job.Failed != 1 {
		t.Errorf("the job is %+v, %v", job, err)
	}
	var table bytes.Buffer
	if err := c.CSV(t.Context(), jobs[0].ID, &table); err != nil || strings.Count(table.String(), "\n") != 3 {
		t.Errorf("the table is %q, %v", &table, err)
	}
	// What has ended stays as it is.
	if job, err := c.Cancel(t.Context(), jobs[0].ID); err != nil || job.Done != 1 {
		t.Errorf("cancelled it is %+v, %v", job, err)
	}
	if _, err := c.Jobs(t.Context(), 0); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.BadRequest {
		t.Errorf("a list of none: %v", err)
	}
}

func TestOnlyThisMachineIsAtThisMachine(t *testing.T) {
	for name, c := range map[string]struct {
		from, host, header string
		old                bool // HTTP/1.0
		want               bool
	}{
		"a program":            {from: "127.0.0.1:5", host: "127.0.0.1:8080", want: true},
		"by name":              {from: "127.0.0.1:5", host: "localhost:8080", want: true},
		"without a port":       {from: "[::1]:5", host: "localhost", want: true},
		"IPv6":                 {from: "[::1]:5", host: "[::1]:8080", want: true},
		"mapped":               {from: "[::ffff:127.0.0.1]:5", host: "127.0.0.1", want: true},
		"another machine":      {from: "192.0.2.7:5", host: "127.0.0.1:8080"},
		"a page that rebinds":  {from: "127.0.0.1:5", host: "evil.example:8080"},
		"no address":           {from: "@", host: "localhost"},
		"a proxy that says so": {from: "127.0.0.1:5", host: "localhost", header: "X-Forwarded-For"},
		"one of RFC 7239":      {from: "127.0.0.1:5", host: "localhost", header: "Forwarded"},
		"one of RFC 9110":      {from: "127.0.0.1:5", host: "localhost", header: "Via"},
		"nginx as it comes":    {from: "127.0.0.1:5", host: "127.0.0.1:8080", old: true},
	} {
		r := httptest.NewRequest("GET", "/v1/jobs", nil)
		r.RemoteAddr, r.Host = c.from, c.host
		if c.header != "" {
			r.Header.Set(c.header, "x")
		}
		if c.old {
			r.ProtoMinor = 0
		}
		if got := api.AtThisMachine(r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
