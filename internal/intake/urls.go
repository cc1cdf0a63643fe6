package intake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"iter"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fetch"
)

// URLs is the body of a request that names images in place of bringing them.
type URLs struct {
	URLs []URL `json:"urls"` // in the order that the images of the job have
}

// URL names one image. In JSON it is a string or an object.
type URL struct {
	URL  string `json:"url"`
	Name string `json:"name"` // what the image is called; the last part of the URL's path where it is empty
}

// UnmarshalJSON reads either form.
func (u *URL) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		return json.Unmarshal(text, &u.URL)
	}
	type plain URL
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	return in.Decode((*plain)(u))
}

// mostListBytes bounds a list of URLs: it is held in memory.
const mostListBytes = 16 << 20

// listed yields the images that a request names. They are fetched when they are read.
func (in *Intake) listed(r *http.Request) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		list, err := readURLs(r.Body)
		if err == nil {
			err = in.Getter.Allowed()
		}
		if err != nil {
			yield(Upload{}, err)
			return
		}
		urls := make([]string, len(list.URLs))
		for i, u := range list.URLs {
			urls[i] = u.URL
		}
		bodies, done := in.Getter.Open(r.Context(), urls)
		defer done()
		for i, u := range list.URLs {
			if !yield(Upload{Name: cmp.Or(u.Name, fetch.Name(u.URL)), Ref: u.URL, Body: &own{bodies[i]}}, nil) {
				return
			}
		}
	}
}

func readURLs(body io.Reader) (*URLs, error) {
	text, err := io.ReadAll(io.LimitReader(body, mostListBytes+1))
	if err != nil {
		return nil, brokenOff(err)
	}
	if len(text) > mostListBytes {
		return nil, ocelli.Errorf(ocelli.TooLarge, "the list of URLs is larger than %d MB: send the rest as another job", mostListBytes>>20)
	}
	var list URLs
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&list); err != nil {
		return nil, ocelli.Errorf(ocelli.BadRequest, `the list of URLs cannot be read (%v): write it like {"urls":["https://example.com/a.jpg"]}`, err)
	}
	return &list, nil
}
