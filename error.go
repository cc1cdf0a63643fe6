package ocelli

import (
	"errors"
	"fmt"
	"net/http"
)

// Code says what is wrong in a word that a program can test for.
type Code string

// Codes of errors that concern one image. They are permanent: trying again gives the same.
const (
	EmptyFile       Code = "empty_file"       // no bytes at all
	TooLarge        Code = "too_large"        // more bytes than the service takes for one image
	UnsupportedType Code = "unsupported_type" // not an image, or of a format that is not read here
	TooManyPixels   Code = "too_many_pixels"  // width × height, or the memory to decode it, is over the limit
	CorruptImage    Code = "corrupt_image"    // begins like an image and cannot be decoded
	CorruptArchive  Code = "corrupt_archive"  // the archive cannot be read, or not to its end
	Encrypted       Code = "encrypted"        // a file of an archive that needs a password
	FetchFailed     Code = "fetch_failed"     // the address of the image gave no image
	FetchRefused    Code = "fetch_refused"    // the address is not one that this service asks
	GaveUp          Code = "gave_up"          // every attempt failed or took its worker down
	Cancelled       Code = "cancelled"        // the job was cancelled before the image's turn

	DeadlineExceeded Code = "deadline_exceeded" // the deadline of the job passed before the image's turn
)

// Codes of errors that concern a whole request.
const (
	BadRequest    Code = "bad_request"     // cannot be understood as it stands
	NoImages      Code = "no_images"       // a form or archive without a single file
	TooManyImages Code = "too_many_images" // more images than one job may have
	WrongMethod   Code = "wrong_method"    // the address is right and the HTTP method is not
	NotFound      Code = "not_found"       // no such job or image
	Unauthorized  Code = "unauthorized"    // no key, or none that is valid
	Forbidden     Code = "forbidden"       // known well enough, and not allowed to this caller
	WrongHost     Code = "wrong_host"      // asked for under a name that is not this server's
	RateLimited   Code = "rate_limited"    // the key makes more requests than it may
	QuotaUsed     Code = "quota_used"      // the key has sent as many images today as it may
	Conflict      Code = "conflict"        // another request with the same key is under way
	KeyReused     Code = "key_reused"      // the key belongs to a request with another content
	Overloaded    Code = "overloaded"      // the backlog is at its limit; later it will do
	StorageFull   Code = "storage_full"    // the disk or bucket takes no more
	Unavailable   Code = "unavailable"     // a part that is needed does not answer
)

// HTTPStatus is the status with which the code is answered over HTTP: 413, 415 and 422 mean size, type and
// content (RFC 9110, section 15.5).
func (c Code) HTTPStatus() int {
	switch c {
	case TooLarge, TooManyPixels, TooManyImages:
		return http.StatusRequestEntityTooLarge
	case UnsupportedType:
		return http.StatusUnsupportedMediaType
	case EmptyFile, CorruptImage, CorruptArchive, Encrypted, FetchFailed, KeyReused:
		return http.StatusUnprocessableEntity
	case BadRequest, NoImages:
		return http.StatusBadRequest
	case FetchRefused:
		return http.StatusForbidden
	case WrongMethod:
		return http.StatusMethodNotAllowed
	case Unauthorized:
		return http.StatusUnauthorized
	case Forbidden:
		return http.StatusForbidden
	case WrongHost:
		return http.StatusMisdirectedRequest
	case NotFound:
		return http.StatusNotFound
	case Cancelled, Conflict:
		return http.StatusConflict
	case DeadlineExceeded:
		return http.StatusGatewayTimeout
	case Overloaded, RateLimited, QuotaUsed:
		return http.StatusTooManyRequests
	case StorageFull:
		return http.StatusInsufficientStorage
	case Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Error is one clear sentence for the person who met it, with a code for programs. An Error about an
// image is permanent; whatever is not an Error is taken to be transient and is tried again.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Errorf returns an [Error] with the code and the formatted sentence.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError returns the [Error] that err is or wraps, and nil where there is none.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
