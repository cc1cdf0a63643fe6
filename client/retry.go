package client

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ocelli/ocelli"
)

// codeOf is what a status means that comes without a sentence of Ocelli: from something in between, like a proxy. "" where it
// means nothing that would be known here.
func codeOf(status int) ocelli.Code {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return ocelli.TooLarge
	case http.StatusTooManyRequests:
		return ocelli.Overloaded
	case http.StatusUnauthorized, http.StatusForbidden:
		return ocelli.Forbidden
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ocelli.Unavailable
	}
	return ""
}

// later is an error that will pass, and when to try again.
type later struct {
	error
	after time.Duration
}

func (e *later) Unwrap() error { return e.error }

// retryLater notes a Retry-After header with an error (RFC 9110, section 10.2.3); of its two forms, the one in seconds.
func retryLater(err error, header string) error {
	seconds, parseErr := strconv.Atoi(header)
	if parseErr != nil || seconds < 1 || seconds > 24*3600 {
		return err
	}
	return &later{err, time.Duration(seconds) * time.Second}
}

// RetryAfter returns how long the server asked to wait before a request is repeated, and 0 where it did not.
func RetryAfter(err error) time.Duration {
	var l *later
	if errors.As(err, &l) {
		return l.after
	}
	return 0
}
