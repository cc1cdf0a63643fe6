package ocelli

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// JobState is what has become of a job.
type JobState string

// The states of a job.
const (
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobCancelled JobState = "cancelled"
)

// ImageState is what has become of an image.
type ImageState string

// The states of an image.
const (
	ImageWaiting ImageState = "waiting"
	ImageRunning ImageState = "running"
	ImageDone    ImageState = "done"
	ImageFailed  ImageState = "failed"
)

// Manifest is what was accepted as one job. It is stored under [ManifestKey] when the last image of
// the job has been kept, and changes after that only when images that failed are put back.
type Manifest struct {
	ID      JobID     `json:"id"`
	Owner   string    `json:"owner,omitempty"` // who sent it; "" where nobody was asked
	Turn    int       `json:"turn,omitempty"`  // which of the owner's groups it belongs to, from 0 to Turns-1; see [Manifest.Group]
	Created time.Time `json:"created"`
	Images  []Image   `json:"images"` // in order of upload

	Deadline    time.Time `json:"deadline,omitzero"`     // zero where there is none; see [DeadlineExceeded]
	Webhook     string    `json:"webhook,omitempty"`     // URL that is told when the job has ended
	Fingerprint string    `json:"fingerprint,omitempty"` // of the request that brought its Idempotency-Key
	Claim       string    `json:"claim,omitempty"`       // blob key under which that key is claimed for the job
	Retries     int       `json:"retries,omitempty"`     // how many times images that failed were put back
}

// Turns is how many groups the jobs of one owner share.
const Turns = 3

// Group names those with whom the images of the job share turns at the queue. A job without an owner is a group of its own, so that a small
// one overtakes a large one. Where the owner is known, all jobs of one share a few groups: who floods the service with jobs has three turns
// to each of anybody else, however many they are, and small jobs still overtake large ones.
func (m *Manifest) Group() string {
	if m.Owner == "" {
		return string(m.ID)
	}
	return fmt.Sprintf("%x-%d", sha256.Sum256([]byte(m.Owner)), m.Turn) // owners can have any name, groups cannot
}

// Image is one image as it was accepted.
type Image struct {
	ID   ImageID `json:"id"`
	Name string  `json:"name"` // as the sender named it, without folders; only ever shown
	Type string  `json:"type"` // media type read from the bytes, "" where they are of no known type
	Size int64   `json:"size"` // bytes
}

// Job is the state of a job as people see it.
type Job struct {
	ID       JobID         `json:"id"`
	State    JobState      `json:"state"`
	Total    int           `json:"total"`
	Done     int           `json:"done"`   // images with labels
	Failed   int           `json:"failed"` // images with an error
	Created  time.Time     `json:"created"`
	Deadline time.Time     `json:"deadline,omitzero"` // images without a result by then end with [DeadlineExceeded]
	ETA      *time.Time    `json:"eta"`               // nil while nothing is known, and once the job is done
	ETAP90   *time.Time    `json:"eta_p90"`           // the moment by which nine of ten such jobs are done
	Expires  *time.Time    `json:"expires"`           // when all of the job is deleted, its images too; nil where it is kept for ever
	Images   []ImageStatus `json:"images"`            // in order of upload
	Links    JobLinks      `json:"links"`
}

// Finished reports whether nothing more will happen to the job.
func (j *Job) Finished() bool { return j.State != JobRunning }

// JobSummary is a job in a list.
type JobSummary struct {
	ID      JobID     `json:"id"`
	Created time.Time `json:"created"`
	Total   int       `json:"total"`
	Ended   int       `json:"ended"` // images with a result, be it labels or an error
}

// ImageStatus is the state of one image of a job.
type ImageStatus struct {
	ID     ImageID    `json:"id"`
	Name   string     `json:"name"`
	State  ImageState `json:"state"`
	Result *Result    `json:"result"` // nil until the image is done
	Error  *Error     `json:"error"`  // set where the image failed
}

// JobLinks are the addresses of a job, relative to the server.
type JobLinks struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	CSV    string `json:"csv"`
	Page   string `json:"page"`
}

// Given is an image that was given up because it took its worker down, or failed without a word about itself, again and again. Its bytes
// are kept as long as its job.
type Given struct {
	Image   ImageID   `json:"image"`
	Job     JobID     `json:"job"`
	Name    string    `json:"name"`
	Error   *Error    `json:"error"`
	Worker  string    `json:"worker"` // that gave it up
	Since   time.Time `json:"since"`
	Content string    `json:"content"` // address of its bytes, relative to the server
}
