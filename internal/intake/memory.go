package intake

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ocelli/ocelli"
)

const (
	memoryWait = 10 * time.Second // for memory that other requests hold
	memoryHold = time.Minute      // in which a request that holds memory must have come in whole
)

// Memory is what requests that cannot be read as a stream share: those whose images, or their addresses, stand in JSON. Its methods may be called from any
// number of goroutines.
type Memory struct {
	total int64
	inUse *semaphore.Weighted
}

// NewMemory returns a Memory of so many bytes.
func NewMemory(total int64) *Memory {
	return &Memory{total: total, inUse: semaphore.NewWeighted(total)}
}

// errSlow ends the reading of a request that holds memory for too long.
var errSlow = errors.New("it came too slowly")

// Read returns the whole body of a request of at most most bytes, and counts it twice, since the images in it are decoded from it. The
// caller calls release, which is never nil and may be called again, when it is done with both. An [ocelli.Error] has the code TooLarge, Overloaded where the memory
// stays in use for ten seconds, or BadRequest where the request broke off.
func (m *Memory) Read(r *http.Request, most int64) (body []byte, release func(), err error) {
	tooLarge := ocelli.Errorf(ocelli.TooLarge, "the request is larger than %d KB, the limit: send smaller images, or fewer", most>>10)
	size := r.ContentLength
	if size > most {
		return nil, func() {}, tooLarge
	}
	if size < 0 {
		size = most
	}
	ctx, cancel := context.WithTimeout(r.Context(), memoryWait)
	defer cancel()
	if err := m.inUse.Acquire(ctx, min(2*size, m.total)); err != nil {
		return nil, func() {}, ocelli.Errorf(ocelli.Overloaded, "other requests hold all the memory that there is for images and lists in JSON: try again")
	}
	release = sync.OnceFunc(func() { m.inUse.Release(min(2*size, m.total)) })
	limited := io.LimitReader(r.Body, most+1)
	body = make([]byte, 0, max(r.ContentLength, 64<<10)+1)
	for end := time.Now().Add(memoryHold); err == nil; {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		var n int
		n, err = limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == nil && time.Now().After(end) {
			err = errSlow
		}
	}
	switch {
	case int64(len(body)) > most:
		release()
		return nil, func() {}, tooLarge
	case err != io.EOF:
		release()
		return nil, func() {}, brokenOff(err)
	}
	return body, release, nil
}

// Releasing passes uploads on that were read into memory, and calls release when they have all been kept: nobody's memory waits for results.
func Releasing(uploads iter.Seq2[Upload, error], release func()) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		defer release()
		uploads(yield)
	}
}
