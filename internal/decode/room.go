package decode

import "sync"

// maxKept bounds the pixels that are kept to be used again, in bytes: more than photos take that are scaled while they are decoded.
const maxKept = 4 << 20

// rooms holds memory of pictures that nobody reads any more. New memory has to be cleared, page by page, before C can write to it.
var rooms sync.Pool // of *[]byte

// room returns n bytes. They may hold pixels of another picture: the caller writes all of them, or shows none.
func room(n int) []byte {
	if kept, ok := rooms.Get().(*[]byte); ok && cap(*kept) >= n {
		return (*kept)[:n]
	}
	return make([]byte, n)
}

// Release gives the memory of the pixels to the picture that is decoded next; without it the garbage collector does so later. Afterwards
// p has no pixels, and nobody may read those that it had.
func (p *Picture) Release() {
	if rgb := p.RGB; cap(rgb) <= maxKept {
		rooms.Put(&rgb)
	}
	p.RGB = nil
}
