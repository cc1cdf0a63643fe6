package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"time"

	"github.com/ocelli/ocelli"
)

// fetchTime bounds how long one image of the web may take.
const fetchTime = 2 * time.Minute

// fetcher fetches for the user of this machine, who may reach what they like.
var fetcher = &http.Client{Timeout: fetchTime}

// Fetched returns the image at a URL, which is fetched each time that it is opened.
func (f *Finder) Fetched(url string) Item {
	return Item{Name: url, Open: func(ctx context.Context) (io.ReadCloser, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, ocelli.Errorf(ocelli.BadRequest, "is not a URL that can be fetched (%v)", err)
		}
		req.Header.Set("User-Agent", "ocelli/"+ocelli.Version())
		req.Header.Set("Accept", "image/*")
		resp, err := fetcher.Do(req)
		if asked, ok := errors.AsType[*neturl.Error](err); ok {
			err = fmt.Errorf("cannot be fetched: %w", asked.Err) // its URL is the name of the item
		}
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK {
			resp.Body.Close()
			return nil, fmt.Errorf("%s answered %s", url, resp.Status)
		}
		return resp.Body, nil
	}}
}
