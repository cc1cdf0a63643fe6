package rekognition

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/sigv4"
)

// kind is an error that the SDKs know by name, with the status that it comes with.
type kind struct {
	name   string
	status int
}

var (
	imageTooLarge      = kind{"ImageTooLargeException", http.StatusBadRequest}
	invalidFormat      = kind{"InvalidImageFormatException", http.StatusBadRequest}
	invalidParameter   = kind{"InvalidParameterException", http.StatusBadRequest}
	invalidS3Object    = kind{"InvalidS3ObjectException", http.StatusBadRequest}
	serialization      = kind{"SerializationException", http.StatusBadRequest}
	unknownOperation   = kind{"UnknownOperationException", http.StatusBadRequest}
	throughputExceeded = kind{"ProvisionedThroughputExceededException", http.StatusBadRequest} // SDKs wait and try again
	throttling         = kind{"ThrottlingException", http.StatusInternalServerError}           // so they do here
	internal           = kind{"InternalServerError", http.StatusInternalServerError}

	missingToken        = kind{"MissingAuthenticationTokenException", http.StatusBadRequest}
	incompleteSignature = kind{"IncompleteSignatureException", http.StatusBadRequest}
	unrecognizedClient  = kind{"UnrecognizedClientException", http.StatusBadRequest}
	accessDenied        = kind{"AccessDeniedException", http.StatusBadRequest}
	invalidSignature    = kind{"InvalidSignatureException", http.StatusBadRequest}
)

// fault is an error with the name that clients test for.
type fault struct {
	kind
	message string
}

func (f *fault) Error() string { return f.message }

func faultf(k kind, format string, args ...any) *fault {
	return &fault{k, fmt.Sprintf(format, args...)}
}

// signatureFaults are the names of what can be wrong with a signature.
var signatureFaults = map[error]kind{
	sigv4.ErrMissing:    missingToken,
	sigv4.ErrIncomplete: incompleteSignature,
	sigv4.ErrUnknownKey: unrecognizedClient,
	sigv4.ErrSignature:  invalidSignature,
	sigv4.ErrExpired:    invalidSignature,
}

// asFault returns what a client is told of an error, and nil where it is the service's own.
func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	for known, k := range signatureFaults {
		if errors.Is(err, known) {
			return &fault{k, err.Error()}
		}
	}
	if e := ocelli.AsError(err); e != nil {
		return &fault{kindOf(e.Code), e.Message}
	}
	return nil
}

func kindOf(c ocelli.Code) kind {
	switch c {
	case ocelli.EmptyFile, ocelli.UnsupportedType, ocelli.CorruptImage:
		return invalidFormat
	case ocelli.TooLarge, ocelli.TooManyPixels:
		return imageTooLarge
	case ocelli.BadRequest, ocelli.NoImages, ocelli.Cancelled:
		return invalidParameter
	case ocelli.Unauthorized:
		return unrecognizedClient
	case ocelli.Forbidden:
		return accessDenied
	case ocelli.Overloaded, ocelli.RateLimited, ocelli.QuotaUsed:
		return throughputExceeded
	case ocelli.Unavailable:
		return throttling
	}
	return internal
}

// objectFault is the error of an object that could not be opened.
func objectFault(o *s3Object, err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return faultf(invalidS3Object, "Unable to get %q from bucket %q: check the key, and whether the bucket is open to this service", o.Name, o.Bucket)
	}
	return fmt.Errorf("opening %s of bucket %s: %w", o.Name, o.Bucket, err)
}

// fail answers with an error. The service's own is logged, and its text is not shown.
func (s *service) fail(w http.ResponseWriter, r *http.Request, id ocelli.JobID, err error) {
	f := asFault(err)
	if f == nil {
		if r.Context().Err() != nil {
			return // the client has gone
		}
		s.Log.Error("request failed", "method", r.Method, "target", r.Header.Get("X-Amz-Target"), "job", id, "error", err)
		f = faultf(internal, "the service could not do this just now: try again, and have its operator look into the log if that does not help")
	}
	w.Header().Set("X-Amzn-Errortype", f.name)
	write(w, f.status, map[string]string{"__type": f.name, "Code": f.name, "Logref": string(id), "Message": f.message})
}
