package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	return fitting(key, ".json"), "application/json", body, err
}

// mostKey is how many bytes S3 takes (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html).
const mostKey = 1024

// fitting is a key with an ending. Of one that would be too long the last bytes give way to a hash of it.
func fitting(key, ending string) string {
	if len(key)+len(ending) <= mostKey {
		return key + ending
	}
	hash := sha256.Sum256([]byte(key))
	ending = "-" + hex.EncodeToString(hash[:8]) + ending
	return strings.ToValidUTF8(key[:mostKey-len(ending)], "") + ending
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
