package retain

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

const (
	atOnce         = 8
	maxResultBytes = 64 << 10
)

// Retry puts those images of a job that failed, or of them only the ones named, back to be tried as if they had just been sent, and
// returns how many. Their old results are removed, so the job runs again; a deadline that it had is lifted. Images whose bytes were never
// kept, or are gone, stay failed. Where there is none to put back the error is an [ocelli.Error].
//
// Called again, also while another call for the same job is under way in whatever process, it puts no image back twice that has failed once: what
// the other one has begun counts as put back, and where that broke off the janitor ends it.
func (j *Jobs) Retry(ctx context.Context, id ocelli.JobID, only ...ocelli.ImageID) (int, error) {
	m, err := j.Results.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return 0, ocelli.Errorf(ocelli.Conflict, "the job is still being uploaded: retry it when it has ended")
	}
	if err != nil {
		return 0, fmt.Errorf("retrying job %s: %w", id, err)
	}
	stats, err := j.Queue.Stats(ctx)
	if err != nil {
		return 0, fmt.Errorf("retrying job %s: %w", id, err)
	}
	if n := stats.Backlog(); n >= j.Backlog {
		return 0, ocelli.Errorf(ocelli.Overloaded, "%d images already wait, which is the limit: try again later", n)
	}
	mine, others, lost, err := j.intend(ctx, m, only)
	if err == nil && len(mine) > 0 {
		err = j.putBack(ctx, id, mine)
	}
	if err != nil {
		return 0, fmt.Errorf("retrying job %s: %w", id, err)
	}
	n := len(mine) + others
	if n == 0 && lost > 0 {
		return 0, ocelli.Errorf(ocelli.Conflict, "nothing was put back: the bytes of %d images that failed were not kept, so send them again", lost)
	}
	if n == 0 {
		return 0, ocelli.Errorf(ocelli.Conflict, "nothing was put back: no image of this has failed")
	}
	return n, nil
}

// intend writes down which images are to be put back, with the results that they have. Those that were not written down before are the caller's
// to put back; how many others are written down it returns, too, and how many failed and have no bytes any more.
func (j *Jobs) intend(ctx context.Context, m *ocelli.Manifest, only []ocelli.ImageID) (mine []ocelli.ImageID, others, lost int, err error) {
	var mu sync.Mutex
	writing, ctx := errgroup.WithContext(ctx)
	writing.SetLimit(atOnce)
	for _, image := range m.Images {
		if len(only) > 0 && !slices.Contains(only, image.ID) {
			continue
		}
		writing.Go(func() error {
			old, err := j.failed(ctx, m.ID, image.ID)
			if err != nil || old == nil {
				return err
			}
			body, err := j.Blobs.Open(ctx, ocelli.InputKey(m.ID, image.ID))
			gone := errors.Is(err, blob.ErrNotFound)
			if err != nil && !gone {
				return err
			}
			first := false
			if !gone {
				body.Close()
				if first, err = j.Blobs.Create(ctx, retryKey(m.ID, image.ID), old); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case gone:
				lost++
			case first:
				mine = append(mine, image.ID)
			default:
				others++
			}
			return nil
		})
	}
	err = writing.Wait()
	slices.Sort(mine)
	return mine, others, lost, err
}

// failed returns the result of an image, as it is stored, where it says that the image failed or is damaged, and nil otherwise.
func (j *Jobs) failed(ctx context.Context, job ocelli.JobID, image ocelli.ImageID) ([]byte, error) {
	text, err := j.read(ctx, ocelli.OutputKey(job, image))
	if err != nil || text == nil {
		return nil, err
	}
	var r ocelli.Result
	if json.Unmarshal(text, &r) == nil && r.Image == image && r.Error == nil {
		return nil, nil
	}
	return text, nil
}

// read returns a small blob, and nil where there is none.
func (j *Jobs) read(ctx context.Context, key string) ([]byte, error) {
	r, err := j.Blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxResultBytes))
}

// putBack puts images of a job back that are written down to be. It may be repeated, and run in several processes at once: a result that an image
// has got since is left alone, and whoever removes one sends a message. Where the job was deleted meanwhile there is nothing to do.
func (j *Jobs) putBack(ctx context.Context, id ocelli.JobID, images []ocelli.ImageID) error {
	// First the deadline: whoever leases a message from before looks whether it still holds, once the result is gone.
	m, err := j.change(ctx, id, func(m *ocelli.Manifest) { m.Deadline = time.Time{} })
	if m == nil || err != nil {
		return err
	}
	waiting, err := j.clear(ctx, id, images)
	if err != nil {
		return err
	}
	m, err = j.change(ctx, id, func(m *ocelli.Manifest) { m.Retries++ })
	if m == nil || err != nil {
		return err
	}
	if j.Forget != nil {
		j.Forget(id)
	}
	if err := j.send(ctx, m, waiting); err != nil {
		return err
	}
	done := make([]string, len(images))
	for i, image := range images {
		done[i] = retryKey(id, image)
	}
	return j.Blobs.Delete(ctx, done...)
}

// change replaces the manifest of a job. Where the job has been deleted it returns nil, with what was written down of the job removed.
func (j *Jobs) change(ctx context.Context, id ocelli.JobID, how func(*ocelli.Manifest)) (*ocelli.Manifest, error) {
	m, err := j.Results.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, blob.DeleteAll(ctx, j.Blobs, retriesPrefix+string(id)+"/")
	}
	if err != nil {
		return nil, err
	}
	how(m)
	if err := j.Results.ReplaceManifest(ctx, *m); err != nil {
		return nil, err
	}
	// Whoever deleted the job in between does not do so again at once, but its mark is there for a while.
	if doomed, err := j.read(ctx, doomedPrefix+string(id)); doomed == nil || err != nil {
		return m, err
	}
	return nil, j.finishDelete(ctx, id)
}

// clear removes the old results of images, with their trials and marks, and returns the images that have no result now.
func (j *Jobs) clear(ctx context.Context, id ocelli.JobID, images []ocelli.ImageID) ([]ocelli.ImageID, error) {
	fresh := make([]bool, len(images))
	clearing, ctx := errgroup.WithContext(ctx)
	clearing.SetLimit(atOnce)
	for i, image := range images {
		clearing.Go(func() error {
			old, err := j.read(ctx, retryKey(id, image))
			if err != nil || old == nil {
				return err // another process has put it back
			}
			now, err := j.read(ctx, ocelli.OutputKey(id, image))
			if err != nil {
				return err
			}
			if now == nil { // somebody was broken off before sending it, or has just done so
				fresh[i] = true
				return nil
			}
			if !bytes.Equal(old, now) {
				return nil // it has been tried since
			}
			if err := blob.DeleteAll(ctx, j.Blobs, "trials/"+string(id)+"/"+string(image)+"."); err != nil {
				return err
			}
			fresh[i] = true
			return j.Blobs.Delete(ctx, ocelli.QuarantineKey(id, image), ocelli.OutputKey(id, image))
		})
	}
	if err := clearing.Wait(); err != nil {
		return nil, err
	}
	var waiting []ocelli.ImageID
	for i, image := range images {
		if fresh[i] {
			waiting = append(waiting, image)
		}
	}
	return waiting, nil
}

// send queues images of a job. Their messages are new ones to the queue, also where another process has just sent the same images: what that
// one's message led to may have been removed.
func (j *Jobs) send(ctx context.Context, m *ocelli.Manifest, images []ocelli.ImageID) error {
	this := rand.Text()
	msgs := make([]queue.Message, len(images))
	for i, image := range images {
		_, place, _ := image.Split()
		of := m.Images[place-1]
		task := ocelli.Task{Image: image, Name: of.Name, Size: of.Size, Accepted: time.Now().UTC(), Deadline: m.Deadline, ReplyTo: j.Topic, Store: j.Store}
		msgs[i] = queue.Message{ID: string(image) + "." + this, Group: m.Group(), Body: task.Encode()}
	}
	for part := range slices.Chunk(msgs, 100) {
		if err := j.Queue.Send(ctx, part...); err != nil {
			return fmt.Errorf("queueing %d images again: %w", len(part), err)
		}
	}
	return nil
}

// visible reports whether there is such a job for whoever asks under ctx.
func (j *Jobs) visible(ctx context.Context, id ocelli.JobID) (bool, error) {
	m, err := j.Results.LoadManifest(ctx, id)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, result.ErrDamaged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return access.MaySee(ctx, m.Owner), nil
}

func retryKey(job ocelli.JobID, image ocelli.ImageID) string {
	return retriesPrefix + string(job) + "/" + string(image) + ".json"
}

// imageOf returns the image that a key below a job's is about.
func imageOf(key string) (ocelli.ImageID, bool) {
	image := ocelli.ImageID(strings.TrimSuffix(path.Base(key), ".json"))
	_, _, ok := image.Split()
	return image, ok
}
