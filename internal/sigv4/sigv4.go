// Package sigv4 verifies requests that were signed with AWS Signature Version 4 in their Authorization header, as the SDKs of
// Amazon Web Services sign them.
//
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. Signatures in the query
// ("presigned URLs") and chunked ones are not taken.
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Skew is how far the clock of a signer may be from the verifier's, as AWS allows.
const Skew = 5 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	mostSigned = 100 // header names of one signature
)

// The kinds of errors of [Verifier.Verify], to be told apart with errors.Is. Their texts are fit for the sender.
var (
	ErrMissing    = errors.New("the request is not signed")
	ErrIncomplete = errors.New("the signature cannot be read")
	ErrUnknownKey = errors.New("the access key is not known here")
	ErrSignature  = errors.New("the signature does not match the request and the secret key")
	ErrExpired    = errors.New("the signature is too old or from the future")
)

// Verifier checks signatures. Its methods may be called from any number of goroutines.
type Verifier struct {
	Service string                                               // that requests must be signed for, "rekognition" for one; regions are not told apart
	Secrets func(accessKeyID string) (secret string, known bool) // the secret of an access key
	Now     func() time.Time                                     // nil for the clock of the machine
}

// credential is what the Authorization header says.
type credential struct {
	key, day, region, service string
	headers                   []string // signed, in lower case, in order
	signature                 string
}

// Known returns nil where a request claims to be signed with a key that there is, before anything of its body is read. It proves nothing.
func (v *Verifier) Known(r *http.Request) error {
	c, err := parse(r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	if _, known := v.Secrets(c.key); !known {
		return ErrUnknownKey
	}
	return nil
}

// Verify returns the access key that signed the request, whose body has the SHA-256 digest body. Host, the time and every X-Amz-
// header that is there must be signed, so that nothing which changes the meaning of the request can be changed.
func (v *Verifier) Verify(r *http.Request, body [sha256.Size]byte) (accessKeyID string, err error) {
	c, err := parse(r.Header.Get("Authorization"))
	if err != nil {
		return "", err
	}
	stamp := r.Header.Get("X-Amz-Date")
	signed, err := time.Parse(timeFormat, stamp)
	if err != nil {
		return "", fmt.Errorf("%w: X-Amz-Date is %.40q, and not a time like %s", ErrIncomplete, stamp, timeFormat)
	}
	if c.day != stamp[:8] || c.service != v.Service {
		return "", fmt.Errorf("%w: it is for %s on %s, and the request for %s on %s", ErrSignature, c.service, c.day, v.Service, stamp[:8])
	}
	if name := unsigned(r.Header, c.headers); name != "" {
		return "", fmt.Errorf("%w: the header %s is not signed", ErrSignature, name)
	}
	secret, known := v.Secrets(c.key)
	if !known {
		return "", ErrUnknownKey
	}
	canonical := sha256.Sum256([]byte(canonicalRequest(r, c.headers, hex.EncodeToString(body[:]))))
	text := strings.Join([]string{algorithm, stamp, strings.Join([]string{c.day, c.region, c.service, terminator}, "/"), hex.EncodeToString(canonical[:])}, "\n")
	want := hex.EncodeToString(mac(signingKey(secret, c), text))
	if !hmac.Equal([]byte(want), []byte(c.signature)) {
		return "", ErrSignature
	}
	// Only a signer is told what the clock here shows.
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	if off := now().Sub(signed); off > Skew || off < -Skew {
		return "", fmt.Errorf("%w: Signature expired: it is of %s and now is %s: set the clock", ErrExpired, stamp, now().UTC().Format(timeFormat))
	}
	return c.key, nil
}

// parse reads "AWS4-HMAC-SHA256 Credential=KEY/DAY/REGION/SERVICE/aws4_request, SignedHeaders=a;b, Signature=HEX".
func parse(header string) (credential, error) {
	if header == "" {
		return credential{}, ErrMissing
	}
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return credential{}, fmt.Errorf("%w: it does not begin with %s", ErrIncomplete, algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := fields[name]; twice {
			return credential{}, fmt.Errorf("%w: it has %.40q twice", ErrIncomplete, name)
		}
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	headers := strings.Split(fields["SignedHeaders"], ";")
	switch {
	case len(scope) != 5 || scope[0] == "" || scope[4] != terminator:
		return credential{}, fmt.Errorf("%w: its Credential is not KEY/DAY/REGION/SERVICE/%s", ErrIncomplete, terminator)
	case len(headers) > mostSigned || !slices.IsSorted(headers) || len(slices.Compact(slices.Clone(headers))) != len(headers):
		return credential{}, fmt.Errorf("%w: its SignedHeaders are not a sorted list of at most %d names", ErrIncomplete, mostSigned)
	case len(fields["Signature"]) != 2*sha256.Size:
		return credential{}, fmt.Errorf("%w: its Signature is not %d hexadecimal digits", ErrIncomplete, 2*sha256.Size)
	}
	return credential{
		key: scope[0], day: scope[1], region: scope[2], service: scope[3], headers: headers, signature: fields["Signature"],
	}, nil
}

// unsigned returns the name of a header that must be signed and is not, and "" where there is none.
func unsigned(h http.Header, signed []string) string {
	if !slices.Contains(signed, "host") {
		return "host"
	}
	for name := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(signed, lower) {
			return lower
		}
	}
	return ""
}

func signingKey(secret string, c credential) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.day, c.region, c.service, terminator} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
