package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
)

// order is what a request with images asks for beside them.
type order struct {
	job    ocelli.Manifest // without images
	key    string          // Idempotency-Key
	wait   time.Duration   // how long the answer may wait for results; 0 where nothing is said
	stream bool            // each result on the same answer as it comes
}

// mostDeadline bounds ?deadline.
const mostDeadline = 7 * 24 * time.Hour

// orderOf reads what a request asks for: everything but its images.
func orderOf(r *http.Request) (order, error) {
	o := order{job: intake.NewJob(), key: r.Header.Get("Idempotency-Key"), stream: wantsLines(r)}
	var err error
	if o.wait, err = waitOf(r); err != nil {
		return order{}, err
	}
	if text := r.URL.Query().Get("deadline"); text != "" {
		within, err := time.ParseDuration(text)
		if err != nil || within <= 0 || within > mostDeadline {
			return order{}, ocelli.Errorf(ocelli.BadRequest, "deadline=%.40q is not a duration up to %s: write it like deadline=30s", text, mostDeadline)
		}
		o.job.Deadline = o.job.Created.Add(within)
	}
	o.job.Webhook = r.URL.Query().Get("webhook")
	return o, nil
}

// waitOf returns the duration that the request asks to wait for results, 0 where it says nothing.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > LongestWait {
		return 0, ocelli.Errorf(ocelli.BadRequest, "wait=%.40q is not a duration from 0s to %s: write it like wait=60s", text, LongestWait)
	}
	return wait, nil
}

// linesType is the media type of JSON values, one per line (https://github.com/ndjson/ndjson-spec).
const linesType = "application/x-ndjson"

// wantsLines reports whether the Accept header names NDJSON.
func wantsLines(r *http.Request) bool {
	for accept := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, params, err := mime.ParseMediaType(accept)
		if err != nil || mediaType != linesType {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err != nil || q > 0 {
			return true
		}
	}
	return false
}
