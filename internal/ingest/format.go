package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/ocelli/ocelli"
)

// Target is where results are delivered to; see [s3blob.Bucket].
type Target interface {
	Put(ctx context.Context, key, mediaType string, body []byte) error
}

// formats are the ways in which a result can be delivered: the name for [Deliver], and what it makes.
var formats = map[string]func(key string, r ocelli.Result) (as, mediaType string, body []byte, err error){
	"json": asJSON,
	"pair": asPair,
}

// CheckFormat says what is wrong with the name of a format.
func CheckFormat(format string) error {
	if formats[format] == nil {
		return fmt.Errorf("there is no format %q: give json, or pair", format)
	}
	return nil
}

// Deliver returns a function for [Ingest] that puts results into the target: as "json" the result of photos/dog.jpg under photos/dog.jpg.json, or as
// "pair" the text "(dog, golden retriever)" under photos/dog.
func Deliver(to Target, format string) func(context.Context, string, ocelli.Result) error {
	return func(ctx context.Context, key string, r ocelli.Result) error {
		as, mediaType, body, err := formats[format](key, r)
		if err != nil {
			return err
		}
		return to.Put(ctx, as, mediaType, body)
	}
}

func asJSON(key string, r ocelli.Result) (string, string, []byte, error) {
	body, err := json.Marshal(r)
	return key + ".json", "application/json", body, err
}

func asPair(key string, r ocelli.Result) (string, string, []byte, error) {
	label := "error: "
	switch {
	case r.Error != nil:
		label += string(r.Error.Code)
	case len(r.Labels) > 0:
		label = r.Labels[0].Name
	}
	as := strings.TrimSuffix(key, path.Ext(key))
	if path.Base(as) == "." || strings.HasSuffix(as, "/") || as == "" { // ".hidden" has no extension but a name
		as = key
	}
	return as, "text/plain; charset=utf-8", fmt.Appendf(nil, "(%s, %s)", path.Base(as), label), nil
}
