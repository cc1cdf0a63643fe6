package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
)

// notice is the body of one message of S3 about what happened in a bucket. It is hostile where others may send to the queue. See
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html.
type notice struct {
	Event   string // "s3:TestEvent" in the message that S3 sends when notifications are switched on
	Records []struct {
		Name string `json:"eventName"`
		Time moment `json:"eventTime"`
		S3   struct {
			Bucket struct{ Name string }
			Object struct {
				Key       string // as in a form: spaces are "+"
				Size      int64
				ETag      string
				VersionID string
				Sequencer string
			}
		}
	}
}

// moment is a time in UTC. S3 ends it with a Z, and some servers that speak as it does leave that out.
type moment time.Time

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *moment) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, strings.TrimSuffix(string(text), "Z")+"Z")
	*m = moment(t)
	return err
}

// object is one object that was put into the bucket.
type object struct {
	key     string
	etag    string
	size    int64     // bytes
	created time.Time // to the millisecond
	id      ocelli.JobID
}

// parse returns the objects of the bucket that a message tells of. Whatever else happened there is passed over. The error tells of records that
// cannot be understood, and the objects of the others come with it.
func (in *Ingest) parse(body []byte) ([]object, error) {
	var n notice
	if err := json.Unmarshal(body, &n); err != nil {
		return nil, fmt.Errorf("not a notification of S3: %w", err)
	}
	if n.Records == nil && n.Event != "s3:TestEvent" {
		return nil, errors.New("not a notification of S3: it has no records")
	}
	var objects []object
	var odd error
	for _, r := range n.Records {
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil || len(key) > maxKey {
			odd = fmt.Errorf("the key %.100q is not one of S3", r.S3.Object.Key)
			continue
		}
		name := strings.TrimPrefix(r.Name, "s3:")
		at := time.Time(r.Time)
		below, ours := strings.CutPrefix(key, in.Prefix)
		switch {
		case r.S3.Bucket.Name != in.Bucket:
			odd = fmt.Errorf("it is of the bucket %.100q, and this service takes images from %s", r.S3.Bucket.Name, in.Bucket)
			continue
		case !strings.HasPrefix(name, "ObjectCreated:"), !ours, below == "", strings.HasSuffix(below, "/"):
			continue // another event, or what consoles make for a folder
		case in.Results != "" && strings.HasPrefix(key, in.Results):
			continue // a result of ours
		case at.IsZero() || at.UnixMilli() < 0:
			odd = errors.New("it says of no moment when the object was made")
			continue
		}
		etag := r.S3.Object.ETag
		if etag != "" && !strings.HasPrefix(etag, `"`) {
			etag = `"` + etag + `"` // S3 leaves the quotes out here, and wants them when it is asked
		}
		o := object{key: below, etag: etag, size: r.S3.Object.Size, created: at.UTC().Truncate(time.Millisecond)}
		o.id = in.jobID(o.created, key, etag, r.S3.Object.VersionID, r.S3.Object.Sequencer)
		objects = append(objects, o)
	}
	return objects, odd
}

// jobID is the same whenever the event is told again, and nobody without the identity of the store can guess it: an id is all that is
// needed to see a job.
func (in *Ingest) jobID(at time.Time, parts ...string) ocelli.JobID {
	mac := hmac.New(sha256.New, []byte(in.Store))
	for _, part := range append([]string{in.Bucket}, parts...) {
		fmt.Fprintf(mac, "%d:%s", len(part), part)
	}
	var id ulid.ULID
	if err := id.SetTime(uint64(at.UnixMilli())); err != nil {
		return ocelli.JobID(ulid.Zero.String()) // a year beyond 10,000, which S3 does not tell
	}
	copy(id[6:], mac.Sum(nil))
	return ocelli.JobID(id.String())
}
