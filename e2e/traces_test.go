package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traces are what a receiver of OpenTelemetry in this process has received, by trace.
type traces struct {
	mu    sync.Mutex
	spans map[string][]*tracepb.Span
	errs  []error
}

func (c *traces) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.Reader(r.Body), error(nil)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err = gzip.NewReader(r.Body)
	}
	var req collector.ExportTraceServiceRequest
	if err == nil {
		var data []byte
		if data, err = io.ReadAll(body); err == nil {
			err = proto.Unmarshal(data, &req)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.errs = append(c.errs, err)
	}
	for _, of := range req.ResourceSpans {
		for _, in := range of.ScopeSpans {
			for _, span := range in.Spans {
				id := hex.EncodeToString(span.TraceId)
				c.spans[id] = append(c.spans[id], span)
			}
		}
	}
}

// collect starts a receiver of traces, to which services that are started from now on send.
func collect(ts *testscript.TestScript, _ bool, _ []string) {
	c := &traces{spans: map[string][]*tracepb.Span{}}
	server := httptest.NewServer(c)
	ts.Defer(server.Close)
	ts.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	ts.Setenv("OTEL_BSP_SCHEDULE_DELAY", "200") // milliseconds
	serviceOf(ts).traces = c
}

// traced N waits until N traces have come, and checks that each goes from the upload through the queue and the worker to the result.
func traced(ts *testscript.TestScript, _ bool, args []string) {
	c := serviceOf(ts).traces
	want := []string{"decode", "fetch", "infer", "keep", "queue", "receive", "save", "work"}
	whole := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, spans := range c.spans {
			if len(spans) >= len(want) {
				n++
			}
		}
		return n
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(time.Minute); whole() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%d traces are whole after a minute, want %d", whole(), n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) != n || len(c.errs) > 0 {
		ts.Fatalf("%d traces came, want %d: %v", len(c.spans), n, c.errs)
	}
	for id, spans := range c.spans {
		at := map[string]*tracepb.Span{}
		for _, span := range spans {
			at[span.Name] = span
		}
		if names := slices.Sorted(maps.Keys(at)); !slices.Equal(names, want) || len(spans) != len(want) {
			ts.Fatalf("trace %s has the spans %v", id, names)
		}
		for i, order := 1, strings.Fields("receive keep queue work fetch decode infer save"); i < len(order); i++ {
			if at[order[i]].StartTimeUnixNano < at[order[i-1]].StartTimeUnixNano {
				ts.Fatalf("in trace %s %s begins before %s", id, order[i], order[i-1])
			}
		}
	}
}
