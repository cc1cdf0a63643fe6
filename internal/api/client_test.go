package api_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
)

// filesOf yields files: name, bytes, name, bytes…
func filesOf(pairs ...any) iter.Seq[client.File] {
	return func(yield func(client.File) bool) {
		for i := 0; i < len(pairs); i += 2 {
			open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(pairs[i+1].([]byte))), nil }
			if !yield(client.File{Name: pairs[i].(string), Open: open}) {
				return
			}
		}
	}
}

// collect returns the labels of a stream by name, and its jobs.
func collect(t *testing.T, stream iter.Seq2[client.Line, error]) (labels map[string]string, jobs []ocelli.JobState, err error) {
	t.Helper()
	labels = map[string]string{}
	for line, err := range stream {
		switch {
		case err != nil:
			return labels, jobs, err
		case line.Job != nil:
			jobs = append(jobs, line.Job.State)
		case line.Result.Error != nil:
			labels[line.Result.Name] = string(line.Result.Error.Code)
		default:
			labels[line.Result.Name] = line.Result.Labels[0].Name
		}
	}
	return labels, jobs, nil
}

func TestTheClientStreams(t *testing.T) {
	c, err := client.New(serve(t))
	if err != nil {
		t.Fatal(err)
	}
	// The third file is opened only when the result of the first is there.
	first := make(chan struct{})
	files := func(yield func(client.File) bool) {
		for f := range filesOf("r", red, "b", blue) {
			if !yield(f) {
				return
			}
		}
		<-first
		for f := range filesOf("text", []byte("words")) {
			if !yield(f) {
				return
			}
		}
	}
	got := map[string]string{}
	var states []ocelli.JobState
	for line, err := range c.Stream(t.Context(), client.Files(files), client.Order{}) {
		if err != nil {
			t.Fatal(err)
		}
		if line.Job != nil {
			states = append(states, line.Job.State)
			continue
		}
		if got[line.Result.Name] = "error"; line.Result.Error == nil {
			got[line.Result.Name] = line.Result.Labels[0].Name
		}
		if line.Result.Name == "r" {
			close(first)
		}
	}
	if want := map[string]string{"r": "red", "b": "blue", "text": "error"}; !maps.Equal(got, want) || !slices.Equal(states, []ocelli.JobState{"running", "done"}) {
		t.Errorf("got %v, %v", got, states)
	}

	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for name, data := range map[string][]byte{"x/r.png": red, "b.png": blue} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write(data)
	}
	_ = w.Close()
	if labels, _, err := collect(t, c.Stream(t.Context(), client.Archive(&packed), client.Order{})); err != nil || fmt.Sprint(labels) != "map[b.png:blue r.png:red]" {
		t.Errorf("an archive: %v, %v", labels, err)
	}

	// What goes wrong is told, and who wants no more is not told anything.
	broken := client.File{Name: "gone", Open: func() (io.ReadCloser, error) { return nil, errors.New("it was eaten") }}
	both := func(yield func(client.File) bool) {
		for f := range filesOf("r", red) {
			_ = yield(f) && yield(broken)
		}
	}
	if _, _, err := collect(t, c.Stream(t.Context(), client.Files(both), client.Order{})); err == nil || !strings.Contains(err.Error(), "eaten") {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if _, _, err := collect(t, c.Stream(t.Context(), client.URLs(client.URL{URL: "https://example.com/x"}), client.Order{})); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.FetchRefused {
		t.Errorf("a URL: %v", err)
	}
	for range c.Stream(t.Context(), client.Files(filesOf("r", red, "b", blue)), client.Order{}) {
		break
	}
}

func TestTheClientSendsOrders(t *testing.T) {
	c, err := client.New(serve(t))
	if err != nil {
		t.Fatal(err)
	}
	o := client.Order{Key: "k", Wait: time.Minute, Deadline: time.Hour}
	job, err := c.Send(t.Context(), client.Files(filesOf("r", red)), o)
	if err != nil || job.Done != 1 || !job.Deadline.Equal(job.Created.Add(time.Hour)) {
		t.Fatalf("got %+v, %v", job, err)
	}
	if again, err := c.Send(t.Context(), client.Files(filesOf("r", red)), o); err != nil || again.ID != job.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	if _, err := c.Send(t.Context(), client.Files(filesOf("r", blue)), o); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.KeyReused {
		t.Errorf("other content: %v", err)
	}
	if _, err := c.Send(t.Context(), client.Files(filesOf("r", red)), client.Order{Webhook: "https://example.com"}); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.FetchRefused {
		t.Errorf("a webhook where none are told: %v", err)
	}
}
