package intake

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// bufferBytes bounds what all requests together hold of small images in memory. An image for which there is no room is written to the
// store as it comes, like a large one: slower, and of any number of uploads at once none is turned away for want of memory.
const bufferBytes = 64 << 20

// rooms are the sizes that a buffer grows through. Buffers are used again: they would be most of a request's garbage.
var rooms = [...]struct {
	size int
	free *sync.Pool // of *[]byte with room for size
}{{8 << 10, new(sync.Pool)}, {32 << 10, new(sync.Pool)}, {128 << 10, new(sync.Pool)}, {smallBytes + 1, new(sync.Pool)}}

// buffer is an image, or the beginning of one, that is held in memory.
type buffer struct {
	in    *Intake
	data  []byte
	whole *[]byte // what data is the beginning of
	room  int     // of rooms, the next to grow to
	held  int64
}

// fill reads an image of up to smallBytes from src, and reports whether it is whole: otherwise there is more to come from src, or
// reading failed. The room that it takes grows with what has come, so that a slow sender holds little.
func (in *Intake) fill(src io.Reader) (b *buffer, whole bool, err error) {
	b = &buffer{in: in}
	for b.grow() {
		n, err := io.ReadFull(src, b.data[len(b.data):cap(b.data)])
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

// grow takes the next room, and reports whether there is one, and memory for it.
func (b *buffer) grow() bool {
	if b.room == len(rooms) {
		return false
	}
	size := rooms[b.room].size
	more := int64(size) - b.held
	if b.in.held.Add(more) > bufferBytes {
		b.in.held.Add(-more)
		return false
	}
	b.held += more
	larger, ok := rooms[b.room].free.Get().(*[]byte)
	if !ok {
		larger = new(make([]byte, size))
	}
	data := append((*larger)[:0], b.data...)
	b.free()
	b.data, b.whole = data, larger
	b.room++
	return true
}

func (b *buffer) reader() io.Reader { return bytes.NewReader(b.data) }

// release gives the room back. Nobody may read from the buffer any more.
func (b *buffer) release() {
	b.in.held.Add(-b.held)
	b.held = 0
	b.free()
}

// free lets another buffer have the bytes.
func (b *buffer) free() {
	if b.whole != nil {
		rooms[b.room-1].free.Put(b.whole)
	}
	b.data, b.whole = nil, nil
}
