package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// abandonedAfter is how old a claim without a job must be for the key to be free again: its upload was cut off by a crash. No upload
// takes as long.
const abandonedAfter = 24 * time.Hour

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
	// A claim is never replaced. The key of one that was abandoned passes to the next turn, which again one wins.
	for turn := 0; ; turn++ {
		id = NewJob()
		first, err = in.Blobs.Create(ctx, claimKey(key, turn), []byte(id))
		if err != nil || first {
			return id, first, explain(err)
		}
		id, err = in.claimed(ctx, claimKey(key, turn))
		if errors.Is(err, blob.ErrNotFound) {
			return "", false, ocelli.Errorf(ocelli.Conflict, "the first request with this Idempotency-Key was just refused: repeat it")
		}
		if err != nil {
			return "", false, explain(err)
		}
		_, err = in.Results.LoadManifest(ctx, id)
		if !errors.Is(err, blob.ErrNotFound) {
			return id, false, explain(err)
		}
		if began, err := ulid.ParseStrict(string(id)); err == nil && time.Since(ulid.Time(began.Time())) < abandonedAfter {
			return "", false, ocelli.Errorf(ocelli.Conflict, "the first request with this Idempotency-Key is still being read: repeat it later")
		}
	}
}

// Unclaim frees the key of a job that was not accepted.
func (in *Intake) Unclaim(ctx context.Context, key string, id ocelli.JobID) {
	ctx = context.WithoutCancel(ctx)
	for turn := 0; ; turn++ {
		holder, err := in.claimed(ctx, claimKey(key, turn))
		if err != nil {
			return // a claim that stays is free again after abandonedAfter
		}
		if holder == id {
			_ = in.Blobs.Delete(ctx, claimKey(key, turn))
			return
		}
	}
}

// claimed returns the job of the claim under a blob key.
func (in *Intake) claimed(ctx context.Context, claim string) (ocelli.JobID, error) {
	r, err := in.Blobs.Open(ctx, claim)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, 100))
	if err != nil {
		return "", err
	}
	id := ocelli.JobID(text)
	if !id.Valid() {
		return "", fmt.Errorf("the claim of an idempotency key holds %q, which is no job", text)
	}
	return id, nil
}

// claimKey is the blob key of a claim. Keys of people can hold anything, so it is a hash.
func claimKey(key string, turn int) string {
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("claims/%s.%d", hex.EncodeToString(sum[:]), turn)
}
