package intake

import (
	"bytes"
	"errors"
	"io"
)

// bufferBytes bounds what all requests together hold of small images in memory. An image for which there is no room is written to the
// store as it comes, like a large one: slower, and of any number of uploads at once none is turned away for want of memory.
const bufferBytes = 64 << 20

// buffer is an image, or the beginning of one, that is held in memory.
type buffer struct {
	in   *Intake
	data []byte
	held int64
}

// fill reads an image of up to smallBytes from src, and reports whether it is whole: otherwise there is more to come from src, or
// reading failed. The room that it takes grows with what has come, so that a slow sender holds little.
func (in *Intake) fill(src io.Reader) (b *buffer, whole bool, err error) {
	b = &buffer{in: in}
	for size := 8 << 10; len(b.data) <= smallBytes; size = min(2*size, smallBytes+1) {
		if !b.hold(size) {
			return b, false, nil
		}
		n, err := io.ReadFull(src, b.data[len(b.data):size])
		b.data = b.data[:len(b.data)+n]
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return b, true, nil
		}
		if err != nil {
			return b, false, err
		}
	}
	return b, false, nil
}

// hold takes room for size bytes in all, and reports whether there is so much.
func (b *buffer) hold(size int) bool {
	more := int64(size) - b.held
	if b.in.held.Add(more) > bufferBytes {
		b.in.held.Add(-more)
		return false
	}
	b.held += more
	b.data = append(make([]byte, 0, size), b.data...)
	return true
}

func (b *buffer) reader() io.Reader { return bytes.NewReader(b.data) }

// release gives the room back.
func (b *buffer) release() {
	b.in.held.Add(-b.held)
	b.held, b.data = 0, nil
}
