package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
)

// abandonedAfter is how old a claim without a job must be for the key to be free again where other nodes take images, too: its upload was cut
// off by a crash.
const abandonedAfter = 24 * time.Hour

// longestUpload is after how long an upload is broken off, before anybody takes it for abandoned.
const longestUpload = abandonedAfter - time.Hour

// maxKeyBytes bounds an idempotency key.
const maxKeyBytes = 255

// SubmitOnce is [Intake.Submit] for a request with an idempotency key, which may have come before: then it returns the job that the
// first such request became, and accepts nothing. A repeat with other content is an [ocelli.Error] with code KeyReused, and one
// that comes while the first is still being read one with code Conflict. Of many at once, on any node, one is the first. Without
// a key it is Submit. See draft-ietf-httpapi-idempotency-key-header.
func (in *Intake) SubmitOnce(ctx context.Context, key string, job ocelli.Manifest, uploads iter.Seq2[Upload, error]) (ocelli.JobID, error) {
	if key == "" {
		_, err := in.Submit(ctx, job, uploads)
		return job.ID, err
	}
	defer in.reading.enter(job.ID)()
	first, claim, err := in.claim(ctx, key, job.ID)
	if err != nil {
		return "", err
	}
	content := newFingerprint(job)
	if first != nil {
		return first.ID, content.check(first, uploads)
	}
	if _, err := in.submit(ctx, job, content.of(uploads), func(m *ocelli.Manifest) { m.Fingerprint, m.Claim = content.sum(), claim }); err != nil {
		in.unclaim(ctx, key, job.ID)
		return "", err
	}
	return job.ID, nil
}

// claim gives a job the idempotency key of its request, under the blob key that it returns, or returns the job that has it. A claim of a job that is not
// accepted in the end must be given up with unclaim, so that the request can be repeated.
func (in *Intake) claim(ctx context.Context, key string, job ocelli.JobID) (holder *ocelli.Manifest, under string, err error) {
	if len(key) > maxKeyBytes {
		return nil, "", ocelli.Errorf(ocelli.BadRequest, "the Idempotency-Key has %d bytes: use %d at most", len(key), maxKeyBytes)
	}
	// A claim is never replaced. The key of one that was abandoned passes to the next turn, which again one wins.
	for turn := 0; ; turn++ {
		under = claimKey(ctx, key, turn)
		first, err := in.Blobs.Create(ctx, under, []byte(job))
		if err != nil || first {
			return nil, under, explain(err)
		}
		id, err := in.claimed(ctx, under)
		if err != nil {
			return nil, "", goneOr(err)
		}
		live := in.reading.has(id) // asked first: a request that ends meanwhile leaves its manifest
		holder, err = in.Results.LoadManifest(ctx, id)
		if !errors.Is(err, blob.ErrNotFound) {
			return holder, "", explain(err)
		}
		abandoned := in.Alone && !live // a crash cut the first request off, or its claim could not be deleted
		if began, err := ulid.ParseStrict(string(id)); !abandoned && err == nil && time.Since(ulid.Time(began.Time())) < abandonedAfter {
			return nil, "", ocelli.Errorf(ocelli.Conflict, "the first request with this Idempotency-Key is still being read: repeat it later")
		}
		// The first request may have given its claim up since that was read. A claim of the next turn would then stand beside a free
		// one of this turn, and the next repeat would become another job. What stands even now is never deleted.
		if _, err := in.claimed(ctx, under); err != nil {
			return nil, "", goneOr(err)
		}
	}
}

// goneOr is what the sender is told of a claim that could not be read.
func goneOr(err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return ocelli.Errorf(ocelli.Conflict, "the first request with this Idempotency-Key was just refused: repeat it")
	}
	return explain(err)
}

// underWay are the requests with a key that this process is reading.
type underWay struct {
	mu   sync.Mutex
	jobs map[ocelli.JobID]struct{}
}

// enter enters a job, until the function that it returns is called.
func (u *underWay) enter(id ocelli.JobID) (end func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.jobs == nil {
		u.jobs = map[ocelli.JobID]struct{}{}
	}
	u.jobs[id] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.jobs, id)
	}
}

func (u *underWay) has(id ocelli.JobID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, there := u.jobs[id]
	return there
}

// Upload returns the job that the request with an idempotency key becomes, or has become: also while it is still being read, so that
// its results can be followed meanwhile. Where there is none, the error is an [ocelli.Error] with code NotFound.
func (in *Intake) Upload(ctx context.Context, key string) (ocelli.JobID, error) {
	var id ocelli.JobID
	for turn := 0; len(key) <= maxKeyBytes; turn++ {
		holder, err := in.claimed(ctx, claimKey(ctx, key, turn))
		if errors.Is(err, blob.ErrNotFound) {
			break
		}
		if err != nil {
			return "", explain(err)
		}
		id = holder // of several the last one counts
	}
	if id == "" {
		return "", ocelli.Errorf(ocelli.NotFound, "no request with this Idempotency-Key has come, or it was refused")
	}
	return id, nil
}

// unclaim frees the key of a job that was not accepted.
func (in *Intake) unclaim(ctx context.Context, key string, id ocelli.JobID) {
	ctx = context.WithoutCancel(ctx)
	for turn := 0; ; turn++ {
		holder, err := in.claimed(ctx, claimKey(ctx, key, turn))
		if err != nil {
			return // a claim that stays is free again after abandonedAfter
		}
		if holder == id {
			_ = in.Blobs.Delete(ctx, claimKey(ctx, key, turn))
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

// claimKey is the blob key of a claim. Keys of people can hold anything, so it is a hash; and what one owner claims is not
// another's.
func claimKey(ctx context.Context, key string, turn int) string {
	if owner := access.Owner(ctx); owner != "" {
		key = owner + "\x00" + key
	}
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("claims/%s.%d", hex.EncodeToString(sum[:]), turn)
}
