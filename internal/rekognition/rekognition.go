// Package rekognition answers DetectLabels as Amazon Rekognition does (JSON 1.1 over HTTP), so that the AWS command line and the SDKs
// work here unchanged when they are given this service's address as their endpoint.
//
// Operations: https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectLabels.html, limits:
// https://docs.aws.amazon.com/rekognition/latest/dg/limits.html, errors:
// https://docs.aws.amazon.com/rekognition/latest/dg/error-handling.html.
package rekognition

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/sigv4"
)

// The limits of Amazon's.
const (
	mostBytes   = 5 << 20  // of an image in the request
	mostObject  = 15 << 20 // of an image in a bucket
	leastPixels = 80       // of both sides
	mostPixels  = 10_000   // of either side
	mostBody    = mostBytes/3*4 + 64<<10
)

// answerTime is how long an image may take: the SDKs give up after 60 seconds and ask again.
const answerTime = 50 * time.Second

const targetPrefix = "RekognitionService."

// Config is what the service stands on.
type Config struct {
	Intake *intake.Intake
	Memory *intake.Memory
	// Objects opens an object of one of the buckets that are open to this service. An error that wraps blob.ErrNotFound is told to the
	// client as one of the object. nil where there are no buckets.
	Objects func(ctx context.Context, bucket, key string) (io.ReadCloser, error)
	// Secrets returns the secret of an access key. nil where requests need not be signed; then signatures are not looked at.
	Secrets func(accessKeyID string) (secret string, known bool)
	// Admit returns the context of a request that the access key has signed, or an [ocelli.Error]. nil where all
	// keys may.
	Admit func(ctx context.Context, accessKeyID string) (context.Context, error)
	Log   *slog.Logger
}

// service answers requests. Its methods may be called from any number of goroutines.
type service struct {
	Config
	verifier *sigv4.Verifier // nil where requests need not be signed
	others   http.Handler
}

// New returns a handler of requests that name an operation of Rekognition in X-Amz-Target; it passes all others on to others.
func New(c Config, others http.Handler) http.Handler {
	s := &service{Config: c, others: others}
	if c.Secrets != nil {
		s.verifier = &sigv4.Verifier{Service: "rekognition", Secrets: c.Secrets}
	}
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	if target == "" {
		s.others.ServeHTTP(w, r)
		return
	}
	// The id of the request is that of the job, so that whoever has one finds the other.
	job := intake.NewJob()
	w.Header().Set("X-Amzn-Requestid", string(job.ID))
	answer, err := s.answer(r, target, job)
	if err != nil {
		s.fail(w, r, job.ID, err)
		return
	}
	write(w, http.StatusOK, answer)
}

func (s *service) answer(r *http.Request, target string, job ocelli.Manifest) (any, error) {
	ctx := r.Context()
	if s.verifier != nil {
		if err := s.verifier.Known(r); err != nil {
			return nil, err // strangers get no memory
		}
	}
	body, release, err := s.Memory.Read(r, mostBody)
	defer release()
	if e := ocelli.AsError(err); e != nil && e.Code == ocelli.TooLarge {
		return nil, faultf(imageTooLarge, "the image has more than %d bytes, the limit for Bytes: make it smaller, or put it into a bucket", mostBytes)
	}
	if err != nil {
		return nil, err
	}
	if s.verifier != nil {
		key, err := s.verifier.Verify(r, sha256.Sum256(body))
		if err == nil && s.Admit != nil {
			ctx, err = s.Admit(ctx, key)
		}
		if err != nil {
			return nil, err
		}
	}
	operation, ours := strings.CutPrefix(target, targetPrefix)
	if !ours || operation != "DetectLabels" {
		return nil, faultf(unknownOperation, "%.80q is not offered here: this service answers %sDetectLabels", target, targetPrefix)
	}
	req, err := parse(body)
	if err != nil {
		return nil, err
	}
	stored := func() {
		req.Image = image{}
		release()
	}
	return s.detectLabels(ctx, job, req, stored)
}

// detectLabels sends the image the way of all others, calls stored when it is on it, and answers with what became of it.
func (s *service) detectLabels(ctx context.Context, job ocelli.Manifest, req *request, stored func()) (*response, error) {
	results, err := s.Intake.Recognise(ctx, job, intake.Releasing(s.upload(ctx, req.Image), stored), answerTime)
	if err != nil {
		return nil, err
	}
	res := results[0]
	switch {
	case res.Error != nil:
		return nil, res.Error
	case min(res.Width, res.Height) < leastPixels:
		return nil, faultf(invalidParameter, "the image has %d × %d pixels: each side must have %d or more", res.Width, res.Height, leastPixels)
	case max(res.Width, res.Height) > mostPixels:
		return nil, faultf(imageTooLarge, "the image has %d × %d pixels: each side may have %d at most", res.Width, res.Height, mostPixels)
	}
	return &response{Labels: req.choose(labelsOf(res.Labels)), LabelModelVersion: version(res.Model)}, nil
}

// version names a model so that two that differ differ in it.
func version(m *ocelli.Model) string {
	if m == nil {
		return ""
	}
	return m.Name + "@" + m.SHA256[:min(12, len(m.SHA256))]
}

// upload yields the one image of a request.
func (s *service) upload(ctx context.Context, image image) iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		object := image.S3Object
		if object == nil {
			yield(intake.Upload{Name: "Image.Bytes", Body: bytes.NewReader(image.Bytes)}, nil)
			return
		}
		if s.Objects == nil {
			yield(intake.Upload{}, faultf(invalidS3Object, "no bucket is open to this service: send the image as Bytes, or have its operator open bucket %q", object.Bucket))
			return
		}
		body, err := s.Objects(ctx, object.Bucket, object.Name)
		if err != nil {
			yield(intake.Upload{}, objectFault(object, err))
			return
		}
		defer body.Close()
		yield(intake.Upload{Name: path.Base(object.Name), Body: &atMost{r: body, left: mostObject, object: object}}, nil)
	}
}

// atMost reads an object and fails once it has more bytes than are allowed.
type atMost struct {
	r      io.Reader
	left   int64
	object *s3Object
}

func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, ocelli.Errorf(ocelli.TooLarge, "the object %s is larger than %d MB, the limit", a.object.Name, mostObject>>20)
	}
	return n, err
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the only error left is that the client has gone
}
