package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/ocelli/ocelli/internal/sigv4"
)

const (
	exampleKey    = "AKIDEXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var exampleTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

func verifier(now time.Time) *sigv4.Verifier {
	return &sigv4.Verifier{
		Service: "service",
		Secrets: func(key string) (string, bool) { return exampleSecret, key == exampleKey },
		Now:     func() time.Time { return now },
	}
}

// read makes of the text of a request what Go's server would.
func read(t testing.TB, text string) (*http.Request, [32]byte) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r, sha256.Sum256([]byte(body))
}

// The requests and signatures of Amazon's own test suite for the version 4 of signatures.
func TestAmazonsExamples(t *testing.T) {
	for name, c := range map[string]struct{ request, headers, signature string }{
		"get-vanilla": {"GET / HTTP/1.1\nHost:example.amazonaws.com", "host;x-amz-date",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"get-vanilla-query-order-key-case": {"GET /?Param2=value2&Param1=value1 HTTP/1.1\nHost:example.amazonaws.com", "host;x-amz-date",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-vanilla-empty-query-key": {"GET /?Param1=value1 HTTP/1.1\nHost:example.amazonaws.com", "host;x-amz-date",
			"a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
		"get-unreserved": {"GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\nHost:example.amazonaws.com", "host;x-amz-date",
			"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		"get-header-value-trim": {"GET / HTTP/1.1\nHost:example.amazonaws.com\nMy-Header1: value1\nMy-Header2: \"a   b   c\"", "host;my-header1;my-header2;x-amz-date",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"post-vanilla": {"POST / HTTP/1.1\nHost:example.amazonaws.com", "host;x-amz-date",
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-x-www-form-urlencoded": {"POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\nHost:example.amazonaws.com\n\nParam1=value1",
			"content-type;host;x-amz-date", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	} {
		r, body := read(t, c.request)
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+
			c.headers+", Signature="+c.signature)
		if key, err := verifier(exampleTime).Verify(r, body); err != nil || key != exampleKey {
			t.Errorf("%s: %q, %v", name, key, err)
		}
	}
}

// sign signs as Amazon's SDK for Go does.
func sign(t testing.TB, r *http.Request, body []byte, secret string, at time.Time) [32]byte {
	t.Helper()
	digest := sha256.Sum256(body)
	err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: exampleKey, SecretAccessKey: secret}, r,
		hex.EncodeToString(digest[:]), "service", "eu-west-1", at)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func newRequest(t testing.TB, method, url string, body []byte) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatAmazonsSignerSigned(t *testing.T) {
	body := []byte(`{"Image":{}}`)
	for _, url := range []string{"http://127.0.0.1:8080/", "https://example.com", "http://x/a/b%20c/%C3%A4/?q=a%20b&a=%2F&a=1&empty", "http://x/a;b=c,d@e", "http://x/?a=2&a1=1&a-b=1"} {
		r := newRequest(t, "POST", url, body)
		r.Header.Set("X-Amz-Target", "RekognitionService.DetectLabels")
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Add("X-Amz-Meta", "  spaced   out ")
		r.Header.Add("X-Amz-Meta", "twice")
		r.Host = r.URL.Host
		digest := sign(t, r, body, exampleSecret, exampleTime)
		if _, err := verifier(exampleTime.Add(4*time.Minute)).Verify(r, digest); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestWhatWasChangedOrIsOldIsRefused(t *testing.T) {
	body := []byte(`{}`)
	signed := func() (*http.Request, [32]byte) {
		r := newRequest(t, "POST", "http://x/?a=1", body)
		r.Host = "x"
		r.Header.Set("X-Amz-Target", "RekognitionService.DetectLabels")
		return r, sign(t, r, body, exampleSecret, exampleTime)
	}
	for name, c := range map[string]struct {
		change func(*http.Request, *[32]byte)
		want   error
	}{
		"another body":   {func(_ *http.Request, d *[32]byte) { d[0]++ }, sigv4.ErrSignature},
		"another query":  {func(r *http.Request, _ *[32]byte) { r.URL.RawQuery = "a=2" }, sigv4.ErrSignature},
		"another path":   {func(r *http.Request, _ *[32]byte) { r.URL.Path = "/x" }, sigv4.ErrSignature},
		"another host":   {func(r *http.Request, _ *[32]byte) { r.Host = "y" }, sigv4.ErrSignature},
		"another target": {func(r *http.Request, _ *[32]byte) { r.Header.Set("X-Amz-Target", "other") }, sigv4.ErrSignature},
		"another method": {func(r *http.Request, _ *[32]byte) { r.Method = "PUT" }, sigv4.ErrSignature},
		"a header more":  {func(r *http.Request, _ *[32]byte) { r.Header.Set("X-Amz-Other", "x") }, sigv4.ErrSignature},
		"another day":    {func(r *http.Request, _ *[32]byte) { r.Header.Set("X-Amz-Date", "20150831T123600Z") }, sigv4.ErrSignature},
		"no time":        {func(r *http.Request, _ *[32]byte) { r.Header.Del("X-Amz-Date") }, sigv4.ErrIncomplete},
		"no signature":   {func(r *http.Request, _ *[32]byte) { r.Header.Del("Authorization") }, sigv4.ErrMissing},
		"another scheme": {func(r *http.Request, _ *[32]byte) { r.Header.Set("Authorization", "Bearer x") }, sigv4.ErrIncomplete},
		"half a signature": {func(r *http.Request, _ *[32]byte) {
			a := r.Header.Get("Authorization")
			r.Header.Set("Authorization", a[:len(a)-32])
		}, sigv4.ErrIncomplete},
		"an unknown key": {func(r *http.Request, _ *[32]byte) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), exampleKey, "AKIDOTHER", 1))
		}, sigv4.ErrUnknownKey},
		"another service": {func(r *http.Request, _ *[32]byte) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/service/", "/s3/", 1))
		}, sigv4.ErrSignature},
	} {
		r, digest := signed()
		c.change(r, &digest)
		if key, err := verifier(exampleTime).Verify(r, digest); !errors.Is(err, c.want) || key != "" {
			t.Errorf("%s: %q, %v; want %v", name, key, err, c.want)
		}
	}
	r, digest := signed()
	for _, off := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
		if _, err := verifier(exampleTime.Add(off)).Verify(r, digest); !errors.Is(err, sigv4.ErrExpired) {
			t.Errorf("%s off: %v", off, err)
		}
	}
	wrong := newRequest(t, "POST", "http://x/", body)
	wrong.Host = "x"
	digest = sign(t, wrong, body, "another secret", exampleTime)
	if _, err := verifier(exampleTime).Verify(wrong, digest); !errors.Is(err, sigv4.ErrSignature) {
		t.Errorf("another secret: %v", err)
	}
}

// Whatever stands in the header, nobody gets in without the secret, and nothing breaks.
func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature="+
		strings.Repeat("0", 64), "20150830T123600Z", "/a/../b", "x=1&y")
	f.Add("AWS4-HMAC-SHA256 ", "", "", "")
	f.Fuzz(func(t *testing.T, authorization, date, path, query string) {
		r := newRequest(t, "POST", "http://x/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		if key, err := verifier(exampleTime).Verify(r, sha256.Sum256(nil)); err == nil || key != "" {
			t.Errorf("%q got in as %q", authorization, key)
		}
	})
}
