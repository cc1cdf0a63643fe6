package telemetry_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/telemetry"
)

// idle is a service without work.
var idle = telemetry.Source{
	Status: func() ocelli.Status { return ocelli.Status{} }, Started: func() int64 { return 0 }, Waiting: func() int { return 0 },
}

func scrape(m *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestResultsAreCountedAndTimedByStep(t *testing.T) {
	m := telemetry.New(telemetry.Source{
		Status: func() ocelli.Status {
			return ocelli.Status{Ready: 7, Leased: 2, OldestAge: 1.5, Wanted: 3, Workers: []ocelli.Worker{{State: ocelli.WorkerBusy}, {State: ocelli.WorkerBusy}}}
		},
		Started: func() int64 { return 6 },
		Waiting: func() int { return 9 },
	})
	m.Accepted(5)
	m.Ended(ocelli.Result{Attempt: 1, Timings: ocelli.Timings{Queued: 100, Fetch: 1, Decode: 2, Infer: 4}})
	m.Ended(ocelli.Result{Attempt: 2, Timings: ocelli.Timings{Queued: 100, Fetch: 1, Decode: 2}, Error: &ocelli.Error{Code: ocelli.CorruptImage}})
	m.Ended(ocelli.Result{Error: &ocelli.Error{Code: ocelli.EmptyFile}}) // no worker saw it
	for n := range 100 {                                                 // what a worker may make up
		m.Ended(ocelli.Result{Error: &ocelli.Error{Code: ocelli.Code(fmt.Sprintf("code %d", n))}})
	}
	text := scrape(m)
	for _, want := range []string{
		"ocelli_images_accepted_total 5",
		`ocelli_images_ended_total{code=""} 1`,
		`ocelli_images_ended_total{code="corrupt_image"} 1`,
		`ocelli_images_ended_total{code="empty_file"} 1`,
		`ocelli_images_ended_total{code="gave_up"} 0`,
		`ocelli_images_ended_total{code="other"} 100`,
		"ocelli_images_repeated_total 1",
		`ocelli_image_step_duration_seconds_sum{step="queued"} 0.2`,
		`ocelli_image_step_duration_seconds_count{step="infer"} 1`,
		`ocelli_backlog_images{state="ready"} 7`,
		`ocelli_backlog_images{state="leased"} 2`,
		"ocelli_backlog_oldest_seconds 1.5",
		`ocelli_workers{state="busy"} 2`,
		`ocelli_workers{state="idle"} 0`,
		"ocelli_workers_wanted 3",
		"ocelli_workers_started_total 6",
		"ocelli_images_waiting 9",
		"ocelli_images_lost 0",
		"ocelli_image_duration_seconds_count 2",
		"ocelli_image_duration_seconds_sum 0.21",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %q", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestTheRateIsThatOfTheLastTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := telemetry.New(idle)
		for range 20 {
			for range 5 {
				m.Ended(ocelli.Result{Attempt: 1})
			}
			time.Sleep(time.Second)
		}
		if got := m.Rate(); got < 4.4 || got > 5 {
			t.Errorf("5 a second read as %v", got)
		}
		time.Sleep(10 * time.Second)
		if got := m.Rate(); got != 0 {
			t.Errorf("nothing for ten seconds reads as %v", got)
		}
	})
}

func TestAnImageThatWaitsForNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, status, waiting := idle, ocelli.Status{}, 0
		source.Status = func() ocelli.Status { return status }
		source.Waiting = func() int { return waiting }
		m := telemetry.New(source)
		lost := func(want string) {
			t.Helper()
			if text := scrape(m); !strings.Contains(text, "ocelli_images_lost "+want+"\n") {
				t.Errorf("want %s lost images, got %s", want, text[strings.Index(text, "ocelli_images_lost "):][:22])
			}
		}
		waiting, status.Ready = 3, 3
		lost("0")
		time.Sleep(time.Hour)
		lost("0") // a long queue is no loss
		waiting, status.Ready = 2, 0
		lost("0")
		time.Sleep(59 * time.Second)
		lost("0")
		status.Leased = 1 // one comes again
		lost("0")
		status.Leased = 0
		lost("0")
		time.Sleep(time.Minute)
		lost("2")
		status.Problem = "the queue does not answer"
		lost("0") // then nobody knows
		waiting, status.Problem = 0, ""
		lost("0")
	})
}
