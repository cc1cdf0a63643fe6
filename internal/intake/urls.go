package intake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fetch"
)

// URLs describes the body of a request that names images in place of bringing them.
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

// mostListBytes bounds a list of URLs.
const mostListBytes = 16 << 20

// listed yields the images that a request names. They are fetched when they are read.
func (in *Intake) listed(r *http.Request) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		var list []URL
		err := in.Getter.Allowed()
		if err == nil {
			list, err = in.readURLs(r)
		}
		if err != nil {
			yield(Upload{}, err)
			return
		}
		urls := make([]string, len(list))
		for i, u := range list {
			urls[i] = u.URL
		}
		bodies, done := in.Getter.Open(r.Context(), urls)
		defer done()
		for i, u := range list {
			if !yield(Upload{Name: cmp.Or(u.Name, fetch.Name(u.URL)), Ref: u.URL, Body: &own{bodies[i]}}, nil) {
				return
			}
		}
	}
}

// readURLs reads the list of a request, as far as one image beyond what a job may have: that one is refused when its turn comes.
func (in *Intake) readURLs(r *http.Request) ([]URL, error) {
	text, release, err := in.Memory.Read(r, mostListBytes)
	if err != nil {
		return nil, err
	}
	defer release()
	list, err := parseURLs(text, in.Limits.JobImages+1)
	if err != nil {
		return nil, ocelli.Errorf(ocelli.BadRequest, `the list of URLs cannot be read (%v): write it like {"urls":["https://example.com/a.jpg"]}`, err)
	}
	return list, nil
}

// parseURLs returns the first most URLs of a list. Each is read by itself: in 16 MB there is room for millions of empty ones.
func parseURLs(text []byte, most int) (list []URL, err error) {
	in := json.NewDecoder(bytes.NewReader(text))
	if err := expect(in, json.Delim('{'), "urls", json.Delim('[')); err != nil {
		return nil, err
	}
	for in.More() {
		if len(list) == most {
			return list, nil
		}
		var u URL
		if err := in.Decode(&u); err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, expect(in, json.Delim(']'), json.Delim('}'))
}

// expect reads tokens that must be there.
func expect(in *json.Decoder, tokens ...json.Token) error {
	for _, want := range tokens {
		got, err := in.Token()
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%v stands where %v must", got, want)
		}
	}
	return nil
}
