package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// source opens a model at the offset. It returns the offset that its bytes really begin at: that asked for, or 0.
type source func(ctx context.Context, offset int64) (body io.ReadCloser, start int64, err error)

// source returns where the model is fetched from.
func (p *Puller) source(e *Entry) (source, error) {
	at, err := url.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	name := path.Base(at.Path)
	switch s := p.Source; {
	case s == "":
		return p.web(e.URL, e.Size), nil
	case strings.HasPrefix(s, "http://"), strings.HasPrefix(s, "https://"):
		return p.web(strings.TrimSuffix(s, "/")+"/"+name, e.Size), nil
	case strings.HasPrefix(s, "file://"):
		u, err := url.Parse(s)
		if err != nil || u.Host != "" {
			return nil, fmt.Errorf("%s names no local file: write it like file:///srv/models", s)
		}
		return local(u.Path, name, e.Size)
	case strings.Contains(s, "://"):
		return nil, fmt.Errorf("models cannot be pulled from %s: give an http, https or file URL, or a path", s)
	default:
		return local(s, name, e.Size)
	}
}

// local reads a file, or the file of that name in a folder. It must have size bytes.
func local(file, name string, size int64) (source, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, name)
	}
	return func(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
		f, err := os.Open(file)
		if err != nil {
			return nil, 0, &finalError{err}
		}
		end, err := f.Seek(0, io.SeekEnd)
		if err == nil && end != size {
			err = fmt.Errorf("%s has %d bytes, not the %d of the model: give the whole file", file, end, size)
		}
		if err == nil {
			_, err = f.Seek(offset, io.SeekStart)
		}
		if err != nil {
			return nil, 0, &finalError{errors.Join(err, f.Close())}
		}
		return f, offset, nil
	}, nil
}

// web asks for the bytes from the offset on (RFC 9110, section 14), and takes all of them where a server does not do parts, or has no
// bytes from there on: what came before was of another file.
func (p *Puller) web(address string, size int64) source {
	client := p.Client
	if client == nil {
		client = &http.Client{}
	}
	var get source
	get = func(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, 0, &finalError{err}
		}
		req.Header.Set("Accept-Encoding", "identity")
		if offset > 0 {
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, 0, err
		}
		start, err := begins(resp, offset, size)
		if err == nil {
			return resp.Body, start, nil
		}
		resp.Body.Close()
		if offset > 0 && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return get(ctx, 0)
		}
		return nil, 0, err
	}
	return get
}

// begins returns the offset at which the body of an answer begins that should have the model of that size, or the rest of it from an offset.
func begins(resp *http.Response, offset, size int64) (int64, error) {
	switch code := resp.StatusCode; {
	case code == http.StatusOK && resp.ContentLength >= 0 && resp.ContentLength != size:
		return 0, &finalError{fmt.Errorf("what %s sends has %d bytes, not the %d of the model: see what is there", resp.Request.URL.Redacted(), resp.ContentLength, size)}
	case code == http.StatusOK:
		return 0, nil
	case code == http.StatusPartialContent:
		var start int64
		if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &start); err != nil || start != offset {
			return 0, &finalError{fmt.Errorf("%s answers with another part than was asked for: refused", resp.Request.URL.Redacted())}
		}
		return start, nil
	case code >= 500, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return 0, fmt.Errorf("%s answers %s", resp.Request.URL.Redacted(), resp.Status)
	default:
		return 0, &finalError{fmt.Errorf("%s answers %s", resp.Request.URL.Redacted(), resp.Status)}
	}
}
