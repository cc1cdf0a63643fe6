package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ocelli/ocelli"
)

// Tracer records the way of each image as one trace of OpenTelemetry: "receive" and in it "keep", by the web node; then, by the worker,
// "queue", and "work" with "fetch", "decode", "infer" and "save" in it. The two are joined by the traceparent in the message
// (https://www.w3.org/TR/trace-context/). A nil tracer records nothing and costs nothing.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// scope is the name under which the spans are recorded.
const scope = "github.com/ocelli/ocelli"

// OpenTracer returns a tracer that sends spans by OTLP over HTTP where the variables of OpenTelemetry say to
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), and nil where they do not. role tells the
// processes of a service apart. What cannot be sent is logged and dropped.
func OpenTracer(ctx context.Context, role string, log *slog.Logger) (*Tracer, error) {
	if TracesTo() == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces cannot be sent as the OTEL_ variables say: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "ocelli"), attribute.String("service.version", ocelli.Version()),
			attribute.String("service.instance.id", role), attribute.Int("process.pid", os.Getpid())),
		resource.WithFromEnv(), // and so it wins
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces could not be sent", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer(scope, trace.WithInstrumentationVersion(ocelli.Version()))}, nil
}

// TracesTo returns the URL that the variables of OpenTelemetry name for traces, and "" where they name none or switch them off.
func TracesTo() string {
	if os.Getenv("OTEL_SDK_DISABLED") == "true" || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return ""
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if at := os.Getenv(name); at != "" {
			return at
		}
	}
	if os.Getenv("OTEL_TRACES_EXPORTER") == "otlp" {
		return (&url.URL{Scheme: "http", Host: "localhost:4318"}).String()
	}
	return ""
}

// Close sends what is left, for as long as ctx lets it.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Handler makes the traceparent of requests known to what answers them.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx := (propagation.TraceContext{}).Extract(r.Context(), propagation.HeaderCarrier(r.Header)); ctx != r.Context() {
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// Received records that an image was read from began on, and kept from keeping on. It returns the traceparent for its message, "" where
// nothing is recorded. The trace is that of the request, or a new one where the request has none.
func (t *Tracer) Received(ctx context.Context, image ocelli.Image, began, keeping time.Time) string {
	if t == nil {
		return ""
	}
	ctx, span := t.tracer.Start(ctx, "receive", trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("ocelli.image", string(image.ID)), attribute.String("ocelli.type", image.Type), attribute.Int64("ocelli.bytes", image.Size)))
	defer span.End()
	Step(ctx, "keep", keeping)
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// Work begins the part of an image's trace that a worker does: its wait ends now. It returns a context for [Step], and ended, which is
// called with what became of the image.
func (t *Tracer) Work(ctx context.Context, task ocelli.Task, attempt int) (working context.Context, ended func(*ocelli.Result)) {
	if t == nil || task.Trace == "" {
		return ctx, func(*ocelli.Result) {}
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": task.Trace})
	_, queued := t.tracer.Start(ctx, "queue", trace.WithTimestamp(task.Accepted))
	queued.End()
	ctx, span := t.tracer.Start(ctx, "work", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("ocelli.image", string(task.Image)), attribute.Int("ocelli.attempt", attempt)))
	return ctx, func(r *ocelli.Result) {
		switch {
		case r.Error != nil:
			span.SetStatus(codes.Error, string(r.Error.Code))
		case len(r.Labels) > 0:
			span.SetAttributes(attribute.String("ocelli.label", r.Labels[0].Name), attribute.Float64("ocelli.score", r.Labels[0].Score),
				attribute.Int("ocelli.width", r.Width), attribute.Int("ocelli.height", r.Height))
		default:
			span.SetAttributes(attribute.Bool("ocelli.result", false)) // it comes again, or had its result before
		}
		span.End()
	}
}

// Step records one step of what ctx traces, which began then and ends now. Where ctx traces nothing, nothing is recorded.
func Step(ctx context.Context, name string, began time.Time) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	_, step := span.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithTimestamp(began))
	step.End()
}
