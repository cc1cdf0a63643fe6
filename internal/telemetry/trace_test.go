package telemetry_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/telemetry"
)

// receive starts a receiver of traces, and returns what it has received.
func receive(t *testing.T) func() []*tracepb.Span {
	t.Helper()
	var mu sync.Mutex
	var spans []*tracepb.Span
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unpacked
		}
		data, err := io.ReadAll(body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(data, &req)
		}
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, of := range req.ResourceSpans {
			for _, in := range of.ScopeSpans {
				spans = append(spans, in.Spans...)
			}
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	return func() []*tracepb.Span {
		mu.Lock()
		defer mu.Unlock()
		return spans
	}
}

const (
	clientTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan  = "00f067aa0ba902b7"
)

var image = ocelli.Image{ID: "01JD0000000000000000000001-0001", Type: "image/png", Size: 7}

func TestOneTraceFromTheClientThroughTheQueueToTheResult(t *testing.T) {
	received := receive(t)
	tracer, err := telemetry.OpenTracer(t.Context(), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var task ocelli.Task
	handler := tracer.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		task = ocelli.Task{Image: image.ID, Accepted: began.Add(2 * time.Second), Trace: tracer.Received(r.Context(), image, began, began.Add(time.Second))}
	}))
	req := httptest.NewRequest("POST", "/", nil)
	req.Header.Set("traceparent", "00-"+clientTrace+"-"+clientSpan+"-01")
	handler.ServeHTTP(httptest.NewRecorder(), req)

	task, err = ocelli.DecodeTask(task.Encode()) // through the queue
	if err != nil {
		t.Fatal(err)
	}
	ctx, ended := tracer.Work(t.Context(), task, 2)
	for _, step := range []string{"fetch", "decode", "infer", "save"} {
		telemetry.Step(ctx, step, time.Now())
	}
	ended(&ocelli.Result{Labels: []ocelli.Label{{Name: "dog", Score: 0.9}}})
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	parents, ids := map[string]string{}, map[string]string{}
	for _, span := range received() {
		if id := hex.EncodeToString(span.TraceId); id != clientTrace {
			t.Errorf("%s is in the trace %s", span.Name, id)
		}
		ids[hex.EncodeToString(span.SpanId)] = span.Name
	}
	ids[clientSpan] = "client"
	for _, span := range received() {
		parents[span.Name] = ids[hex.EncodeToString(span.ParentSpanId)]
	}
	want := map[string]string{"receive": "client", "keep": "receive", "queue": "receive", "work": "receive", "fetch": "work", "decode": "work", "infer": "work", "save": "work"}
	if diff := cmp.Diff(want, parents); diff != "" {
		t.Error(diff)
	}
	for _, span := range received() {
		if span.Name == "queue" && span.StartTimeUnixNano != uint64(task.Accepted.UnixNano()) {
			t.Error("the wait does not begin with the acceptance")
		}
	}
}

func TestWithoutARequestsTraceEachImageHasItsOwn(t *testing.T) {
	received := receive(t)
	tracer, err := telemetry.OpenTracer(t.Context(), "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	one, two := tracer.Received(t.Context(), image, time.Now(), time.Now()), tracer.Received(t.Context(), image, time.Now(), time.Now())
	if one[:35] == two[:35] {
		t.Errorf("two images are in one trace: %s and %s", one, two)
	}
	if err := tracer.Close(t.Context()); err != nil || len(received()) != 4 {
		t.Errorf("%v, %d spans", err, len(received()))
	}
}

func TestWhoAsksForNoTracesGetsNone(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing said":  {},
		"switched off":  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "true"},
		"no exporter":   {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"},
		"not for these": {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:4318"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"} {
				t.Setenv(variable, env[variable])
			}
			tracer, err := telemetry.OpenTracer(t.Context(), "test", slog.New(slog.DiscardHandler))
			if tracer != nil || err != nil {
				t.Fatalf("got %v, %v", tracer, err)
			}
			// All that is done for each image costs no memory.
			task, r := ocelli.Task{}, ocelli.Result{}
			ctx := context.Background()
			if n := testing.AllocsPerRun(100, func() {
				task.Trace = tracer.Received(ctx, image, time.Time{}, time.Time{})
				working, ended := tracer.Work(ctx, task, 1)
				telemetry.Step(working, "fetch", time.Time{})
				ended(&r)
			}); n > 0 || task.Trace != "" {
				t.Errorf("%v allocations, and the trace %q", n, task.Trace)
			}
			if tracer.Handler(nil) != nil || tracer.Close(t.Context()) != nil {
				t.Error("it does something")
			}
		})
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	if at := telemetry.TracesTo(); at != "http://localhost:4318" {
		t.Errorf("the default is %q", at)
	}
}
