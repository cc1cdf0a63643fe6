package ocelli

import (
	"encoding/json"
	"fmt"
	"time"
)

// Task is the body of the one message that waits in the queue for an image.
type Task struct {
	Image    ImageID   `json:"image"`
	Name     string    `json:"name"`
	Size     int64     `json:"size,omitempty"` // bytes of the image; 0 where that is not known
	Accepted time.Time `json:"accepted"`
	Deadline time.Time `json:"deadline,omitzero"` // an image whose turn comes later is not worked on
	ReplyTo  string    `json:"reply_to"`          // topic on which the web node that took the image listens
	Store    string    `json:"store"`             // identity of the store that holds its bytes
	Trace    string    `json:"trace,omitempty"`   // W3C traceparent of its trace; "" where it is not traced
}

// Encode returns the task as the body of a message.
func (t Task) Encode() []byte {
	body, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and a time always marshal
	}
	return body
}

// DecodeTask reads the body of a message. The image id of a task without error has a valid form.
func DecodeTask(body []byte) (Task, error) {
	var t Task
	if err := json.Unmarshal(body, &t); err != nil {
		return Task{}, fmt.Errorf("reading a task: %w", err)
	}
	if _, _, ok := t.Image.Split(); !ok {
		return Task{}, fmt.Errorf("reading a task: %q is not the id of an image", t.Image)
	}
	return t, nil
}

// Job returns the job that the task belongs to.
func (t Task) Job() JobID {
	job, _, _ := t.Image.Split()
	return job
}
