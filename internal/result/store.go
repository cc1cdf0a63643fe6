// Package result keeps what became of each image and tells the web node that waits for it.
//
// The blob under output/<job>/<image>.json is the truth, and the first write of it wins. The notice that
// follows is a hint: [Tracker] repairs a lost one by reading.
package result

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/notify"
)

// Notice is what a worker tells the web node that waits: an image is in hand, or has its result.
type Notice struct {
	Image  ocelli.ImageID `json:"image"`
	Result *ocelli.Result `json:"result,omitempty"` // nil while the image is in hand
}

// Store saves results and reads them. Its fields are set before first use; its methods may be
// called from any number of goroutines.
type Store struct {
	Blobs blob.Store
	Bus   notify.Bus
}

// ErrDamaged is returned, wrapped, for what was read whole and is not what it should be.
var ErrDamaged = errors.New("it is damaged")

// maxResultBytes bounds what is read as one result: a few labels and a sentence.
const maxResultBytes = 64 << 10

// Save makes r the result of its image, unless the image has one already, and then tells replyTo, where
// that is not empty, which result stands. One that is damaged does not. It returns the result that stands. When it returns without error the result is
// durable and the message of the image can be acknowledged.
func (s *Store) Save(ctx context.Context, r ocelli.Result, replyTo string) (ocelli.Result, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return r, fmt.Errorf("encoding the result of %s: %w", r.Image, err)
	}
	first, err := s.Blobs.Create(ctx, ocelli.OutputKey(r.Job, r.Image), body)
	if err != nil {
		return r, fmt.Errorf("saving the result of %s: %w", r.Image, err)
	}
	if !first {
		stands, err := s.Load(ctx, r.Job, r.Image)
		switch {
		case errors.Is(err, ErrDamaged):
			// Whoever copied the store or restored it left half of a result, or another's: nobody could ever read this image's.
			if _, err := s.Blobs.Put(ctx, ocelli.OutputKey(r.Job, r.Image), bytes.NewReader(body)); err != nil {
				return r, fmt.Errorf("replacing the damaged result of %s: %w", r.Image, err)
			}
		case err != nil:
			return r, err
		default:
			r = *stands
		}
	}
	s.Tell(ctx, r, replyTo)
	return r, nil
}

// Tell tells replyTo of a result that stands.
func (s *Store) Tell(ctx context.Context, r ocelli.Result, replyTo string) {
	s.tell(ctx, replyTo, Notice{Image: r.Image, Result: &r})
}

// Started tells replyTo that a worker has the image in hand.
func (s *Store) Started(ctx context.Context, image ocelli.ImageID, replyTo string) {
	s.tell(ctx, replyTo, Notice{Image: image})
}

// tell publishes n. A notice that cannot be sent is not an error of the image: the tracker reads the store.
func (s *Store) tell(ctx context.Context, replyTo string, n Notice) {
	if replyTo == "" {
		return
	}
	if body, err := json.Marshal(n); err == nil {
		_ = s.Bus.Publish(ctx, replyTo, body)
	}
}

// Load returns the result of an image, and an error that wraps [blob.ErrNotFound] while there is none, or [ErrDamaged] where what lies in its
// place is no result of this image.
func (s *Store) Load(ctx context.Context, job ocelli.JobID, image ocelli.ImageID) (*ocelli.Result, error) {
	var r ocelli.Result
	if err := s.readJSON(ctx, ocelli.OutputKey(job, image), maxResultBytes, &r); err != nil {
		return nil, err
	}
	if r.Image != image {
		return nil, fmt.Errorf("reading the result of %s: %w (it says that it is of %.40q)", image, ErrDamaged, r.Image)
	}
	return &r, nil
}

// manifestBytesPerImage bounds the size of a manifest: an id, a name of at most 255 bytes that JSON may
// escape sixfold, a type and a size.
const manifestBytesPerImage = 2 << 10

// SaveManifest stores what was accepted as one job.
func (s *Store) SaveManifest(ctx context.Context, m ocelli.Manifest) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding the manifest of job %s: %w", m.ID, err)
	}
	if _, err := s.Blobs.Create(ctx, ocelli.ManifestKey(m.ID), body); err != nil {
		return fmt.Errorf("saving the manifest of job %s: %w", m.ID, err)
	}
	return nil
}

// ReplaceManifest stores a manifest in place of the one that the job has.
func (s *Store) ReplaceManifest(ctx context.Context, m ocelli.Manifest) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding the manifest of job %s: %w", m.ID, err)
	}
	if _, err := s.Blobs.Put(ctx, ocelli.ManifestKey(m.ID), bytes.NewReader(body)); err != nil {
		return fmt.Errorf("replacing the manifest of job %s: %w", m.ID, err)
	}
	return nil
}

// LoadManifest returns what was accepted as one job, and an error that wraps [blob.ErrNotFound] where there is
// no such job, or its upload has not ended, or [ErrDamaged] where nobody can tell any more what it was.
func (s *Store) LoadManifest(ctx context.Context, job ocelli.JobID) (*ocelli.Manifest, error) {
	var m ocelli.Manifest
	if err := s.readJSON(ctx, ocelli.ManifestKey(job), manifestBytesPerImage<<20, &m); err != nil {
		return nil, err
	}
	if m.ID != job {
		return nil, fmt.Errorf("reading the manifest of job %s: %w (it says that it is of %.40q)", job, ErrDamaged, m.ID)
	}
	return &m, nil
}

func (s *Store) readJSON(ctx context.Context, key string, limit int64, into any) error {
	r, err := s.Blobs.Open(ctx, key)
	if err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading %s: %w (%w)", key, ErrDamaged, err)
	}
	return nil
}
