package intake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/queue"
)

// source reads one uploaded file. It ends in a [Fault] beyond the limit, and what else goes wrong while
// reading is the sender's doing, told as an [ocelli.Error], to keep it apart from the store's own errors.
type source struct {
	ctx         context.Context // it ends with
	r           *bufio.Reader
	limit, left int64
}

// sourceBytes is how much of an upload is read ahead.
const sourceBytes = 4 << 10

func newSource(ctx context.Context, r io.Reader, limit int64) *source {
	return &source{ctx: ctx, r: bufio.NewReaderSize(r, sourceBytes), limit: limit, left: limit}
}

func (s *source) tooLarge() error {
	return &Fault{ocelli.Errorf(ocelli.TooLarge, "is larger than %d MB, the limit for one image: make it smaller and send it again", s.limit>>20)}
}

// Peek returns the first n bytes, or all where there are fewer.
func (s *source) Peek(n int) ([]byte, error) {
	head, err := s.r.Peek(n)
	if err != nil && err != io.EOF {
		return nil, brokenOff(err)
	}
	return head, nil
}

func (s *source) Read(p []byte) (int, error) {
	if s.left < 0 {
		return 0, s.tooLarge()
	}
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	// One byte more than is left tells a file of just the limit from a longer one.
	if int64(len(p)) > s.left+1 {
		p = p[:s.left+1]
	}
	n, err := s.r.Read(p)
	s.left -= int64(n)
	switch {
	case s.left < 0:
		return n, s.tooLarge()
	case err != nil && err != io.EOF:
		return n, brokenOff(err)
	}
	return n, err
}

// brokenOff says what is wrong with a request that could not be read to its end.
func brokenOff(err error) error {
	if e := ocelli.AsError(err); e != nil {
		return e
	}
	if own := new(Fault); errors.As(err, &own) {
		return err
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return ocelli.Errorf(ocelli.TooLarge, "the request is larger than %d MB, the limit: send the images in several requests", tooLarge.Limit>>20)
	}
	return ocelli.Errorf(ocelli.BadRequest, "the upload broke off before its end (%v): send it again", err)
}

// explain turns an error of the stores into what the sender should know and do; nil stays nil.
func explain(err error) error {
	if err == nil {
		return nil
	}
	switch e := ocelli.AsError(err); {
	case e != nil:
		return e
	case errors.Is(err, queue.ErrFull):
		return ocelli.Errorf(ocelli.Overloaded, "the queue is full and nothing of this request was accepted: try again later")
	case errors.Is(err, blob.ErrFull):
		return ocelli.Errorf(ocelli.StorageFull, "the storage is full and nothing of this request was accepted: try again when there is space")
	}
	return fmt.Errorf("accepting a job: %w", err)
}
