package web

import (
	"context"
	"errors"
	"io"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
)

const (
	pageWait   = 12 * time.Second // how long the answer to a form waits for the last result
	clientWait = 10 * time.Minute // how long the answer to an old client is held open
	retryPause = 500 * time.Millisecond
)

// submit takes a form with pictures. Programs written for earlier services of this kind are told apart by the name of the field:
// one file in "myfile" is answered with its label as plain text, and one in "inputFile" with its name up to the first dot, a colon
// and the label. These clients take nothing but 200 for an answer, so theirs is held open until the label is there, and a full
// queue makes them wait. Everybody else gets a page with the results as far as they are there.
func (s *web) submit(w http.ResponseWriter, r *http.Request) {
	form := openForm(s.Intake.Uploads(r))
	defer form.close()
	if !form.old() && prefersJSON(r.Header.Get("Accept")) {
		w.Header().Set("Location", "/v1/jobs")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = io.WriteString(w, `{"title":"Temporary Redirect","status":307,"detail":"this address answers with pages: send images to /v1/jobs for JSON"}`+"\n")
		return
	}
	began := time.Now()
	m, err := s.accept(r.Context(), form)
	switch {
	case form.old() && (err != nil || len(m.Images) == 1):
		s.answerOld(w, r, m.ID, form.first.Field, began, err)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.answerPage(w, r, m.ID)
	}
}

// accept submits a form. While the queue is full and nothing of the form has been read, an old client's is submitted again.
func (s *web) accept(ctx context.Context, form *form) (ocelli.Manifest, error) {
	// Only the wait for room is bounded: an upload may take as long as its line is slow.
	room := time.After(clientWait)
	for {
		m, err := s.Intake.Submit(ctx, intake.NewJob(), form.uploads())
		if e := ocelli.AsError(err); e == nil || e.Code != ocelli.Overloaded || form.begun || !form.old() {
			return m, err
		}
		select {
		case <-ctx.Done():
			return m, err
		case <-room:
			return m, err
		case <-time.After(retryPause):
		}
	}
}

func (s *web) answerPage(w http.ResponseWriter, r *http.Request, id ocelli.JobID) {
	ctx, cancel := context.WithTimeout(r.Context(), pageWait)
	defer cancel()
	job, err := s.Tracker.Wait(ctx, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Location", job.Links.Page)
	s.showJob(w, r, job)
}

// answerOld answers an old client with the label of its picture, or with what was wrong.
func (s *web) answerOld(w http.ResponseWriter, r *http.Request, id ocelli.JobID, field string, began time.Time, err error) {
	answer := ""
	if err == nil {
		ctx, cancel := context.WithDeadline(r.Context(), began.Add(clientWait))
		defer cancel()
		answer, err = s.oldAnswer(ctx, id, field)
	}
	status := http.StatusOK
	if err != nil {
		var ok bool
		if status, answer, ok = s.explain(r, err); !ok {
			return
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer) // the only error is that the client has gone
}

func (s *web) oldAnswer(ctx context.Context, id ocelli.JobID, field string) (string, error) {
	for _, res := range s.Tracker.Watch(ctx, id, "") {
		if res.Error != nil {
			return "", res.Error
		}
		if field == "inputFile" {
			name, _, _ := strings.Cut(res.Name, ".")
			return name + ":" + res.Labels[0].Name, nil
		}
		return res.Labels[0].Name, nil
	}
	if err := ctx.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return "", err
	}
	return "", ocelli.Errorf(ocelli.Unavailable, "no worker has recognised the picture within %s: its result will be at /jobs/%s", clientWait, id)
}

// form is the uploads of a request, of which the first can be looked at before they are accepted.
type form struct {
	first intake.Upload
	err   error // in place of the first
	empty bool
	begun bool // uploads has been ranged over
	next  func() (intake.Upload, error, bool)
	close func()
}

func openForm(uploads iter.Seq2[intake.Upload, error]) *form {
	f := &form{}
	f.next, f.close = iter.Pull2(uploads)
	var ok bool
	f.first, f.err, ok = f.next()
	f.empty = !ok
	return f
}

// old reports whether the form comes from one of the programs that wait for a label.
func (f *form) old() bool {
	return f.err == nil && (f.first.Field == "myfile" || f.first.Field == "inputFile")
}

// uploads yields all uploads, the first among them. It can be ranged over once.
func (f *form) uploads() iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		f.begun = true
		if f.empty || !yield(f.first, f.err) || f.err != nil {
			return
		}
		for {
			up, err, ok := f.next()
			if !ok || !yield(up, err) || err != nil {
				return
			}
		}
	}
}

// prefersJSON reports whether an Accept header names JSON, and names it before or above HTML.
func prefersJSON(accept string) bool {
	json, html := 0.0, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(part)
		if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		switch mediaType {
		case "application/json", "application/problem+json", "application/x-ndjson":
			json = max(json, q)
		case "text/html", "application/xhtml+xml":
			html = max(html, q)
		}
	}
	return json > html
}
