package ocelli

import (
	"fmt"
	"strconv"
	"strings"
)

// JobID names a job: a ULID (https://github.com/ulid/spec), 26 characters that sort by time of creation.
type JobID string

// ImageID names one image of a job: the job's id, a dash, and the image's place in the order of
// upload, from 1, in at least four digits.
type ImageID string

// NewImageID returns the id of the image at place index, counted from 1, in the job.
func NewImageID(job JobID, index int) ImageID {
	return ImageID(fmt.Sprintf("%s-%04d", job, index))
}

// Split returns the job and the place, counted from 1, that the id stands for. ok is false where the id
// is not of the form that [NewImageID] makes.
func (id ImageID) Split() (job JobID, index int, ok bool) {
	head, tail, found := strings.Cut(string(id), "-")
	index, err := strconv.Atoi(tail)
	if !found || err != nil || index < 1 || NewImageID(JobID(head), index) != id || !JobID(head).Valid() {
		return "", 0, false
	}
	return JobID(head), index, true
}

// crockford is the alphabet of a ULID: Crockford's base 32, which leaves out I, L, O and U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Valid reports whether the id has the form of a ULID. Ids become parts of keys and paths: one that
// comes from outside is checked with Valid before it is used.
func (id JobID) Valid() bool {
	return len(id) == 26 && strings.Trim(string(id), crockford) == ""
}

// InputKey is the blob key of the bytes of an image, as uploaded.
func InputKey(job JobID, image ImageID) string { return "input/" + string(job) + "/" + string(image) }

// OutputKey is the blob key of the [Result] of an image, as JSON.
func OutputKey(job JobID, image ImageID) string {
	return OutputPrefix(job) + string(image) + ".json"
}

// OutputPrefix is what the keys of all results of a job begin with.
func OutputPrefix(job JobID) string { return "output/" + string(job) + "/" }

// QuarantinePrefix is what the keys of all [QuarantineKey] begin with.
const QuarantinePrefix = "quarantine/"

// QuarantineKey is the blob key that marks an image which was given up: its bytes are kept as long as its job, for people to look at.
func QuarantineKey(job JobID, image ImageID) string {
	return QuarantinePrefix + string(job) + "/" + string(image) + ".json"
}

// ManifestKey is the blob key of the [Manifest] of a job, as JSON.
func ManifestKey(job JobID) string { return "jobs/" + string(job) + ".json" }

// Pixels is an upright picture of Width × Height pixels: 8-bit RGB, interleaved, rows from the top without
// padding, so len(RGB) == 3*Width*Height.
type Pixels struct {
	Width, Height int
	RGB           []byte
}
