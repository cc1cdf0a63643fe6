package webhook_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fetch"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver answers as it is told to and remembers what it was told.
type receiver struct {
	mu     sync.Mutex
	answer func(n int) (status int, err error) // to the n-th message, from 1
	events []ocelli.Event
	at     []time.Time
	bad    []error
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	event, err := client.VerifyWebhook(req.Header, body, secret)
	if err != nil {
		r.bad = append(r.bad, err)
		event = &ocelli.Event{}
	}
	r.events, r.at = append(r.events, *event), append(r.at, time.Now())
	status, err := r.answer(len(r.events))
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}, Request: req}, nil
}

// told is what has come so far.
func (r *receiver) told() (events []ocelli.Event, at []time.Time, bad []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events, r.at, r.bad
}

// node is what a web node has for webhooks.
type node struct {
	*webhook.Sender
	topic string
	stop  func()
}

func newNode(t *testing.T, blobs blob.Store, bus notify.Bus, name string, to *receiver) *node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	results := &result.Store{Blobs: blobs, Bus: bus}
	tracker := result.NewTracker(results, name, log, nil)
	policy, err := fetch.ParsePolicy("public")
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := webhook.ParseSecrets(secret)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{topic: name, Sender: &webhook.Sender{
		Blobs: blobs, Results: results, Tracker: tracker, Policy: policy, Client: &http.Client{Transport: to}, Secrets: secrets, Log: log,
	}}
	tracker.Ended = n.Ended
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = tracker.Run(ctx) })
	running.Go(func() { _ = n.Run(ctx) })
	n.stop = func() { cancel(); running.Wait() }
	t.Cleanup(n.stop)
	synctest.Wait()
	return n
}

// accept accepts a job of one image.
func (n *node) accept(t *testing.T) ocelli.Manifest {
	t.Helper()
	const id = "01M84JP5M625A2E6M9WFSP37S3"
	m := ocelli.Manifest{ID: id, Created: time.Now(), Webhook: "https://example.com/told?key=x"}
	n.Tracker.Begin(m)
	n.Tracker.Add(ocelli.Image{ID: ocelli.NewImageID(id, 1), Name: "a"})
	m, err := n.Tracker.Settle(id)
	if err == nil {
		err = n.Expect(t.Context(), m)
	}
	if err == nil {
		err = n.Results.SaveManifest(t.Context(), m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (n *node) finish(t *testing.T, m ocelli.Manifest) {
	t.Helper()
	if _, err := n.Results.Save(t.Context(), ocelli.Result{Image: m.Images[0].ID, Job: m.ID, Labels: []ocelli.Label{{Name: "dog"}}}, n.topic); err != nil {
		t.Fatal(err)
	}
}

func left(t *testing.T, blobs blob.Store) (keys []string) {
	t.Helper()
	for info, err := range blobs.List(t.Context(), webhook.Prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func ok(int) (int, error) { return 204, nil }

func TestAnEndedJobIsToldOnceAndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, to := new(blob.Mem), &receiver{answer: ok}
		n := newNode(t, blobs, notify.NewMem(), "one", to)
		m := n.accept(t)
		time.Sleep(time.Hour)
		if events, _, _ := to.told(); len(events) != 0 {
			t.Fatalf("told %d times before its end", len(events))
		}
		ended := time.Now()
		n.finish(t, m)
		time.Sleep(2 * time.Hour)
		events, at, bad := to.told()
		if len(events) != 1 || bad != nil {
			t.Fatalf("told %d times, %v", len(events), bad)
		}
		if late := at[0].Sub(ended); late > time.Second {
			t.Errorf("told after %s", late)
		}
		e := events[0]
		if e.Type != ocelli.EventJobDone || e.Data.ID != m.ID || e.Data.State != ocelli.JobDone || e.Data.Total != 1 || e.Data.Done != 1 || e.Data.Links.Self == "" {
			t.Errorf("told %+v", e)
		}
		if keys := left(t, blobs); keys != nil {
			t.Errorf("left behind: %v", keys)
		}
	})
}

func TestAReceiverThatFailsIsToldAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(n int) (int, error)
		times  int
	}{
		"down for a while": {func(n int) (int, error) {
			switch {
			case n < 3:
				return 0, errors.New("no route")
			case n < 6:
				return 503, nil
			}
			return 200, nil
		}, 6},
		"for ever":        {func(int) (int, error) { return 500, nil }, 33},
		"sends elsewhere": {func(n int) (int, error) { return []int{301, 307, 200}[min(n, 3)-1], nil }, 3},
		"wants none":      {func(int) (int, error) { return 410, nil }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blobs, to := new(blob.Mem), &receiver{answer: c.answer}
				n := newNode(t, blobs, notify.NewMem(), "one", to)
				n.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				n.finish(t, n.accept(t))
				time.Sleep(30 * time.Hour)
				events, at, bad := to.told()
				if len(events) != c.times || bad != nil {
					t.Fatalf("told %d times, want %d; %v", len(events), c.times, bad)
				}
				for i := 1; i < len(at); i++ {
					most := min(5*time.Second<<min(i-1, 20), time.Hour)
					if wait := at[i].Sub(at[i-1]); wait < most*3/4 || wait > most*5/4+time.Second {
						t.Errorf("attempt %d came %s after the one before, want about %s", i+1, wait, most)
					}
				}
				if keys := left(t, blobs); keys != nil {
					t.Errorf("left behind: %v", keys)
				}
			})
		})
	}
}

// The node dies between the promise and the end of the job, or in mid-attempt, and another life or node keeps the promise.
func TestAPromiseSurvivesItsNode(t *testing.T) {
	for name, endedBefore := range map[string]bool{"while the job ran": false, "in mid-attempt": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blobs, bus := new(blob.Mem), notify.NewMem()
				dead := &receiver{answer: func(int) (int, error) { return 0, errors.New("died") }}
				first := newNode(t, blobs, bus, "first", dead)
				m := first.accept(t)
				if endedBefore {
					first.finish(t, m)
					time.Sleep(10 * time.Millisecond)
				}
				first.stop()
				time.Sleep(time.Hour)
				to := &receiver{answer: ok}
				second := newNode(t, blobs, bus, "second", to)
				if !endedBefore {
					first.finish(t, m) // a worker tells the node that is gone
				}
				time.Sleep(20 * time.Minute)
				if events, _, bad := to.told(); len(events) != 1 || bad != nil || events[0].Data.ID != m.ID {
					t.Errorf("told %+v, %v", events, bad)
				}
				if keys := left(t, blobs); keys != nil {
					t.Errorf("left behind: %v", keys)
				}
				second.stop()
			})
		})
	}
}

func TestOfSeveralNodesOneMakesEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, bus := new(blob.Mem), notify.NewMem()
		to := &receiver{answer: func(n int) (int, error) {
			if n < 5 {
				return 500, nil
			}
			return 200, nil
		}}
		var m ocelli.Manifest
		var nodes []*node
		for i, name := range []string{"a", "b", "c"} {
			nodes = append(nodes, newNode(t, blobs, bus, name, to))
			if i == 0 {
				m = nodes[0].accept(t)
			}
		}
		time.Sleep(30 * time.Minute)
		nodes[0].finish(t, m)
		time.Sleep(2 * time.Hour)
		if events, _, _ := to.told(); len(events) != 5 {
			t.Errorf("told %d times, want 5", len(events))
		}
		if keys := left(t, blobs); keys != nil {
			t.Errorf("left behind: %v", keys)
		}
	})
}

func TestAPromiseForAJobThatNeverWasIsVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blobs, to := new(blob.Mem), &receiver{answer: ok}
		n := newNode(t, blobs, notify.NewMem(), "one", to)
		if err := n.Expect(t.Context(), ocelli.Manifest{ID: "00000000000000000000000000", Webhook: "https://example.com"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if events, _, _ := to.told(); left(t, blobs) != nil || len(events) != 0 {
			t.Errorf("told %d times, left behind: %v", len(events), left(t, blobs))
		}
	})
}

func TestWhoCannotBeTold(t *testing.T) {
	secrets, _ := webhook.ParseSecrets(secret)
	public, _ := fetch.ParsePolicy("public")
	s := &webhook.Sender{Secrets: secrets, Policy: public}
	for url, want := range map[string]ocelli.Code{"https://example.com/x": "", "ftp://example.com": ocelli.BadRequest, "http://u:p@example.com": ocelli.BadRequest, "": ocelli.BadRequest, "http://10.0.0.1/": ocelli.FetchRefused,
		"https://example.com:22/": ocelli.FetchRefused, "http://[::1]/": ocelli.FetchRefused} {
		if err := s.Check(url); want == "" && err != nil || want != "" && (ocelli.AsError(err) == nil || ocelli.AsError(err).Code != want) {
			t.Errorf("%s: %v, want %s", url, err, want)
		}
	}
	for name, s := range map[string]*webhook.Sender{"no secret": {Policy: public}, "nobody": {Secrets: secrets}, "none": nil} {
		if err := s.Check("https://example.com"); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.FetchRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The real client asks nobody inside, and does not go where it is sent on.
func TestTheClientStaysOutside(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	public, _ := fetch.ParsePolicy("public")
	if resp, err := webhook.NewClient(public).Post(server.URL, "", strings.NewReader("x")); ocelli.AsError(err) == nil {
		t.Errorf("got %v, %v", resp, err)
	}
	local, _ := fetch.ParsePolicy("127.0.0.1")
	resp, err := webhook.NewClient(local).Post(server.URL, "", strings.NewReader("x"))
	if err != nil || resp.StatusCode != 307 || asked != 1 {
		t.Errorf("got %v, %v after %d requests", resp, err, asked)
	}
	if err == nil {
		resp.Body.Close()
	}
}
