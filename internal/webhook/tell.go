package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/ocelli/ocelli"
)

// tell makes one attempt. done means that no other is to follow: the receiver has it, or wants none.
func (s *Sender) tell(ctx context.Context, to string, job *ocelli.Job) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	now := time.Now().UTC()
	body, err := json.Marshal(eventOf(job, now))
	if err != nil {
		return false, fmt.Errorf("encoding an event: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return true, errors.New("the address of the webhook cannot be asked")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ocelli/"+ocelli.Version())
	s.Secrets.sign(req.Header, "msg_"+string(job.ID), now, body)
	resp, err := s.Client.Do(req)
	if err != nil {
		return false, withoutURL(err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	switch {
	case resp.StatusCode/100 == 2:
		return true, nil
	case resp.StatusCode == http.StatusGone:
		return true, fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
	}
	return false, fmt.Errorf("%s answered %s", req.URL.Host, resp.Status)
}

// withoutURL is an error that can be logged: a URL may hold a secret of its receiver.
func withoutURL(err error) error {
	if e := new(url.Error); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func eventOf(job *ocelli.Job, now time.Time) ocelli.Event {
	kind := ocelli.EventJobDone
	if job.State == ocelli.JobCancelled {
		kind = ocelli.EventJobCancelled
	}
	return ocelli.Event{Type: kind, Timestamp: now, Data: ocelli.JobEnd{
		ID: job.ID, State: job.State, Total: job.Total, Done: job.Done, Failed: job.Failed, Created: job.Created, Links: job.Links,
	}}
}
