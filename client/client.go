// Package client speaks Ocelli's HTTP API.
package client

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
)

// Client calls one server. Its methods may be called from any number of goroutines. An error that the server
// answered is, or wraps, an [*ocelli.Error].
type Client struct {
	base string
	key  string
	http *http.Client
}

// Option changes a client from what [New] returns without it.
type Option func(*Client)

// WithKey makes the client send an API key with each request (RFC 6750); an empty key is none.
func WithKey(key string) Option { return func(c *Client) { c.key = key } }

// WithTransport makes the client send its requests by rt.
func WithTransport(rt http.RoundTripper) Option { return func(c *Client) { c.http.Transport = rt } }

// New returns a client of the server at the URL, "http://127.0.0.1:8080" for one.
func New(server string, options ...Option) (*Client, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a server: write it like http://127.0.0.1:8080", server)
	}
	c := &Client{base: strings.TrimSuffix(u.String(), "/"), http: &http.Client{}}
	for _, set := range options {
		set(c)
	}
	return c, nil
}

// Classify sends one image and returns its labels.
func (c *Client) Classify(ctx context.Context, name string, image io.Reader) (*ocelli.Result, error) {
	var r ocelli.Result
	err := c.call(ctx, http.MethodPost, "/v1/classify?name="+url.QueryEscape(name), http.Header{"Content-Type": {"application/octet-stream"}}, image, &r)
	return &r, err
}

// Job returns the state of a job.
func (c *Client) Job(ctx context.Context, id ocelli.JobID) (*ocelli.Job, error) {
	var job ocelli.Job
	err := c.call(ctx, http.MethodGet, "/v1/jobs/"+url.PathEscape(string(id)), nil, nil, &job)
	return &job, err
}

// Watch yields the results of a job as they come, until it has finished. It ends after the first error, which it yields.
func (c *Client) Watch(ctx context.Context, id ocelli.JobID) iter.Seq2[ocelli.Result, error] {
	return func(yield func(ocelli.Result, error) bool) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/jobs/"+url.PathEscape(string(id))+"/events", nil)
		if err != nil {
			yield(ocelli.Result{}, err)
			return
		}
		resp, err := c.do(req)
		if err != nil {
			yield(ocelli.Result{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20) // one result, or the job without its images
		for kind := ""; lines.Scan(); {
			line := lines.Text()
			if event, ok := strings.CutPrefix(line, "event: "); ok {
				kind = event
			}
			data, ok := strings.CutPrefix(line, "data: ")
			if kind == "done" && ok {
				return
			}
			if kind != "result" || !ok {
				continue
			}
			var r ocelli.Result
			if err := json.Unmarshal([]byte(data), &r); err != nil {
				yield(r, fmt.Errorf("reading the events of job %s: %w", id, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
		yield(ocelli.Result{}, fmt.Errorf("the events of job %s %w", id, brokenOff(lines.Err())))
	}
}

// ErrBrokenOff is wrapped by the error of an answer that began well and did not come to its end: the server was there.
var ErrBrokenOff = errors.New("broke off")

// brokenOff is the error of an answer that ended for this reason, nil where it just ended.
func brokenOff(err error) error {
	return fmt.Errorf("%w: %w", ErrBrokenOff, cmp.Or(err, io.ErrUnexpectedEOF))
}

// Status returns what the server tells about itself.
func (c *Client) Status(ctx context.Context) (*ocelli.Status, error) {
	var s ocelli.Status
	err := c.call(ctx, http.MethodGet, "/v1/status", nil, nil, &s)
	return &s, err
}

// Decisions returns the scaling decisions since then, oldest first, each as the server wrote it: the newest thousand at most.
func (c *Client) Decisions(ctx context.Context, since time.Duration) ([]json.RawMessage, error) {
	var answer struct {
		Decisions []json.RawMessage `json:"decisions"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/scaling/decisions?since="+since.String(), nil, nil, &answer)
	return answer.Decisions, err
}

// call sends a request and decodes the JSON of a good answer into into.
func (c *Client) call(ctx context.Context, method, path string, headers http.Header, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, headers)
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("%s %s answered something that cannot be read: %w", method, req.URL, err)
	}
	return nil
}

// problemBytes bounds what is read of an answer that is an error.
const problemBytes = 64 << 10

// do returns a good answer, or the server's error.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// What was asked for is no news to the caller: only why it failed is.
		if asked, ok := errors.AsType[*url.Error](err); ok {
			err = asked.Err
		}
		return nil, fmt.Errorf("the server at %s does not answer (%w): is `ocelli up` running there?", c.base, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, problemBytes))
	var problem struct {
		Detail string      `json:"detail"`
		Code   ocelli.Code `json:"code"`
	}
	err = fmt.Errorf("%s answered %s in a way that Ocelli does not: check the address, and what is between here and there", req.URL, resp.Status)
	if json.Unmarshal(text, &problem) == nil && problem.Detail != "" {
		err = ocelli.Errorf(problem.Code, "%s", problem.Detail)
	} else if code := codeOf(resp.StatusCode); code != "" {
		err = ocelli.Errorf(code, "%v", err)
	}
	return nil, retryLater(err, resp.Header.Get("Retry-After"))
}
