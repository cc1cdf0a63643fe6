package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// abandonedAfter is how old a claim without a job must be for the key to be free again: its upload was cut off by a crash.
const abandonedAfter = 15 * time.Minute

// maxKeyBytes bounds an idempotency key.
const maxKeyBytes = 255

// Claim gives a new job the idempotency key of its request, or returns the job that has it: then first is false, and nothing is to be
// submitted. Of many claims at once, on any node, one is the first. An [ocelli.Error] with code Conflict says that the
// first request is still being accepted.
//
// A first claim whose Submit fails must be given up with [Intake.Unclaim], so that the request can be repeated.
// See draft-ietf-httpapi-idempotency-key-header.
func (in *Intake) Claim(ctx context.Context, key string) (id ocelli.JobID, first bool, err error) {
	if len(key) > maxKeyBytes {
		return "", false, ocelli.Errorf(ocelli.BadRequest, "the Idempotency-Key has %d bytes: use %d at most", len(key), maxKeyBytes)
	}
	id = NewJob()
	first, err = in.Blobs.Create(ctx, claimKey(key), []byte(id))
	if err != nil {
		return "", false, explain(fmt.Errorf("claiming an idempotency key: %w", err))
	}
	if first {
		return id, true, nil
	}
	if id, err = in.claimed(ctx, key); err != nil {
		return "", false, explain(err)
	}
	_, err = in.Results.LoadManifest(ctx, id)
	if !errors.Is(err, blob.ErrNotFound) {
		return id, false, err
	}
	if began, err := ulid.ParseStrict(string(id)); err == nil && time.Since(ulid.Time(began.Time())) > abandonedAfter {
		in.Unclaim(ctx, key)
		return in.Claim(ctx, key)
	}
	return "", false, ocelli.Errorf(ocelli.Conflict, "the first request with this Idempotency-Key is still being read: repeat it later")
}

// Unclaim frees the key of a request that was not accepted.
func (in *Intake) Unclaim(ctx context.Context, key string) {
	// A claim that stays is free again after abandonedAfter.
	_ = in.Blobs.Delete(context.WithoutCancel(ctx), claimKey(key))
}

func (in *Intake) claimed(ctx context.Context, key string) (ocelli.JobID, error) {
	r, err := in.Blobs.Open(ctx, claimKey(key))
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 100))
	if err != nil {
		return "", err
	}
	id := ocelli.JobID(strings.TrimSpace(string(text)))
	if !id.Valid() {
		return "", fmt.Errorf("the claim of an idempotency key holds %q, which is no job", text)
	}
	return id, nil
}

// claimKey is the blob key of a claim. Keys of people can hold anything, so it is a hash.
func claimKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "claims/" + hex.EncodeToString(sum[:])
}
