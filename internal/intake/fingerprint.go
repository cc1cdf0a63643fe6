package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"iter"

	"github.com/ocelli/ocelli"
)

// fingerprint tells a repeat of a request from another one under the same idempotency key. It covers what is asked for and the fields,
// names and contents of the files. The bytes of the request itself would not do: a form sent again has another boundary.
type fingerprint struct {
	hash hash.Hash
}

func newFingerprint(job ocelli.Manifest) *fingerprint {
	f := &fingerprint{sha256.New()}
	terms := ""
	if !job.Deadline.IsZero() {
		terms = job.Deadline.Sub(job.Created).String()
	}
	f.add(terms, job.Webhook)
	return f
}

// add enters texts so that no other texts give the same.
func (f *fingerprint) add(texts ...string) {
	for _, text := range texts {
		fmt.Fprintf(f.hash, "%d:%s", len(text), text)
	}
}

// of passes uploads on and enters each: the whole of it, also where only its beginning is read.
func (f *fingerprint) of(uploads iter.Seq2[Upload, error]) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		for up, err := range uploads {
			if err != nil || up.Fault != nil || up.Ref != "" {
				f.add(up.Field, up.Name, up.Ref)
				if !yield(up, err) {
					return
				}
				continue
			}
			content := sha256.New()
			up.Body = io.TeeReader(up.Body, content)
			if !yield(up, nil) {
				return
			}
			// Where this ends in an error, so does the next upload.
			_, _ = io.Copy(io.Discard, up.Body)
			f.add(up.Field, up.Name, string(content.Sum(nil)))
		}
	}
}

func (f *fingerprint) sum() string { return hex.EncodeToString(f.hash.Sum(nil)) }

// check reads the uploads of a repeat and returns an error unless they are those of the first request.
func (f *fingerprint) check(first *ocelli.Manifest, uploads iter.Seq2[Upload, error]) error {
	for _, err := range f.of(uploads) {
		if err != nil {
			return err
		}
	}
	if first.Fingerprint != f.sum() {
		return ocelli.Errorf(ocelli.KeyReused, "the Idempotency-Key belongs to an earlier request with other content, job %s: use a new key for each job", first.ID)
	}
	return nil
}
