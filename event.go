package ocelli

import "time"

// Event is the body of a webhook: a job has ended.
type Event struct {
	Type      EventType `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when it was told
	Data      JobEnd    `json:"data"`
}

// EventType says what has happened.
type EventType string

// The types of events.
const (
	EventJobDone      EventType = "job.done"
	EventJobCancelled EventType = "job.cancelled"
)

// JobEnd is a job that has ended, without its images: their results are at its links.
type JobEnd struct {
	ID      JobID     `json:"id"`
	State   JobState  `json:"state"`
	Total   int       `json:"total"`
	Done    int       `json:"done"`   // images with labels
	Failed  int       `json:"failed"` // images with an error
	Created time.Time `json:"created"`
	Links   JobLinks  `json:"links"`
}
