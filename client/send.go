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
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"github.com/ocelli/ocelli"
)

// File is one image to send.
type File struct {
	Name string
	Open func() (io.ReadCloser, error) // called when its turn comes
}

// URL names an image that the server fetches.
type URL struct {
	URL  string `json:"url"`
	Name string `json:"name,omitempty"` // the last part of the URL's path where it is empty
}

// Body is what a job is made of, sent as a stream. It can be sent once.
type Body struct {
	contentType string
	write       func(io.Writer) error
}

// Files is a body of images.
func Files(files iter.Seq[File]) Body {
	boundary := multipart.NewWriter(io.Discard).Boundary()
	return Body{"multipart/form-data; boundary=" + boundary, func(w io.Writer) error {
		parts := multipart.NewWriter(w)
		err := errors.Join(parts.SetBoundary(boundary), writeFiles(parts, files))
		if err != nil {
			return err // without its end the form is refused: with it, what was sent would be the whole job
		}
		return parts.Close()
	}}
}

// Archive is a body of the images in a zip or tar archive; the server tells which it is.
func Archive(r io.Reader) Body {
	return Body{"application/octet-stream", func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}}
}

// URLs is a body of images that the server fetches, if its operator allows it.
func URLs(urls ...URL) Body {
	return Body{"application/json", func(w io.Writer) error {
		return json.NewEncoder(w).Encode(map[string][]URL{"urls": urls})
	}}
}

func writeFiles(parts *multipart.Writer, files iter.Seq[File]) error {
	for f := range files {
		part, err := parts.CreateFormFile("image", plain(f.Name))
		if err != nil {
			return err
		}
		r, err := f.Open()
		if err != nil {
			return err
		}
		_, err = io.Copy(part, r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("sending %s: %w", f.Name, err)
		}
	}
	return nil
}

// plain makes a name fit for a header: without folders and control characters, which the server would remove as well. It is never
// empty: a part of a form without a name is no file, and the images after it would be taken for those before them.
func plain(name string) string {
	return cmp.Or(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, filepath.Base(name)), "image")
}

// Order is what a job asks for beside its images. The zero Order asks for nothing.
type Order struct {
	Key      string        // idempotency key: the same images sent again with the same key are the same job
	Wait     time.Duration // how long the answer may wait for results
	Deadline time.Duration // after which images without a result end with [ocelli.DeadlineExceeded]; 0 is never
	Webhook  string        // URL to tell of the end of the job; see [VerifyWebhook]
}

func (o Order) query() string {
	q := url.Values{}
	if o.Wait > 0 {
		q.Set("wait", o.Wait.String())
	}
	if o.Deadline > 0 {
		q.Set("deadline", o.Deadline.String())
	}
	if o.Webhook != "" {
		q.Set("webhook", o.Webhook)
	}
	return q.Encode()
}

// Submit sends the files as one job, as a stream, and waits up to wait for its results.
func (c *Client) Submit(ctx context.Context, files iter.Seq[File], wait time.Duration) (*ocelli.Job, error) {
	return c.Send(ctx, Files(files), Order{Wait: wait})
}

// SubmitOnce is Submit with an idempotency key, so that a request of which it is not known whether it arrived can be repeated. An empty
// key is none.
func (c *Client) SubmitOnce(ctx context.Context, key string, files iter.Seq[File], wait time.Duration) (*ocelli.Job, error) {
	return c.Send(ctx, Files(files), Order{Key: key, Wait: wait})
}

// Send sends a body as one job, and returns the job when all of it is accepted, or when it has ended, if that takes no longer than
// the order says.
func (c *Client) Send(ctx context.Context, body Body, o Order) (*ocelli.Job, error) {
	var job ocelli.Job
	err := c.send(ctx, body, o, "application/json", func(resp *http.Response) error {
		if err := json.NewDecoder(resp.Body).Decode(&job); err != nil {
			return fmt.Errorf("the answer to a job cannot be read: %w", err)
		}
		return nil
	})
	return &job, err
}

// Line is one line of a streamed answer: one of the fields is set.
type Line struct {
	Job    *ocelli.Job // the first line and the last, without images
	Result *ocelli.Result
}

// Stream sends a body as one job and yields its results as they come, also while the body is still being sent: first the job as it
// begins, then each result, then the job as it has ended. It ends after the first error, which it yields.
func (c *Client) Stream(ctx context.Context, body Body, o Order) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		wanted := true
		err := c.send(ctx, body, o, "application/x-ndjson", func(resp *http.Response) error {
			lines := bufio.NewScanner(resp.Body)
			lines.Buffer(nil, 1<<20) // one result
			var last Line
			for lines.Scan() {
				line, err := readLine(lines.Bytes())
				if err != nil {
					return err
				}
				if last = line; !yield(line, nil) {
					wanted = false
					cancel()
					return nil
				}
			}
			if last.Job == nil || lines.Err() != nil {
				return fmt.Errorf("the results of a job %w", brokenOff(lines.Err()))
			}
			return nil
		})
		if err != nil && wanted {
			yield(Line{}, err)
		}
	}
}

// readLine reads a job, a result, or the server's error.
func readLine(text []byte) (Line, error) {
	var kind struct {
		Image  string           `json:"image"`
		State  *ocelli.JobState `json:"state"`
		Detail string           `json:"detail"`
		Code   ocelli.Code      `json:"code"`
	}
	var line Line
	err := json.Unmarshal(text, &kind)
	switch {
	case err != nil:
	case kind.State != nil:
		err = json.Unmarshal(text, &line.Job)
	case kind.Image != "":
		err = json.Unmarshal(text, &line.Result)
	default:
		return Line{}, ocelli.Errorf(kind.Code, "%s", kind.Detail)
	}
	if err != nil {
		return Line{}, fmt.Errorf("a line of an answer cannot be read: %w", err)
	}
	return line, nil
}

// send sends a job and has a good answer read.
func (c *Client) send(ctx context.Context, body Body, o Order, accept string, read func(*http.Response) error) error {
	from, to := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := body.write(to)
		to.CloseWithError(err)
		written <- err
	}()
	err := c.post(ctx, from, body.contentType, o, accept, read)
	from.Close()
	// A file that could not be read is the reason, and not what the broken request made of it.
	if unread := <-written; err != nil && ocelli.AsError(err) == nil && unread != nil && !errors.Is(unread, io.ErrClosedPipe) {
		err = unread
	}
	return err
}

func (c *Client) post(ctx context.Context, body io.Reader, contentType string, o Order, accept string, read func(*http.Response) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/jobs?"+o.query(), body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", accept)
	if o.Key != "" {
		req.Header.Set("Idempotency-Key", o.Key)
	}
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return read(resp)
}
