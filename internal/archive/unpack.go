package archive

import (
	"bufio"
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
)

// content is what one entry of a zip archive holds.
type content interface {
	io.Reader
	skip() error // reads on to the next entry; an error says that none can be found
}

// unpacker opens the entries of an archive one after another.
type unpacker struct {
	a       *reader
	inflate io.ReadCloser // used again and again
}

func (u *unpacker) open(e *zipEntry) content {
	switch {
	case e.sized():
		return u.sized(e)
	case e.method == deflated && !e.encrypted():
		packed := &counted{r: u.a.r}
		return &inflated{u: u, packed: packed, r: u.deflate(packed)}
	}
	return &searched{r: u.a.r, known: !e.encrypted() && e.method == stored}
}

func (u *unpacker) sized(e *zipEntry) content {
	c := &measured{u: u, e: e, packed: &io.LimitedReader{R: u.a.r, N: int64(e.packed)}}
	c.r = c.packed
	if e.method == deflated {
		c.r = u.deflate(bufio.NewReader(c.packed))
	}
	return c
}

// deflate returns what packed unpacks to. It reads packed byte by byte, and not beyond its end.
func (u *unpacker) deflate(packed flate.Reader) io.Reader {
	if u.inflate == nil {
		u.inflate = flate.NewReader(packed)
	} else {
		_ = u.inflate.(flate.Resetter).Reset(packed, nil) // never fails without a dictionary
	}
	return &spending{r: u.inflate, budget: u.a.in.budget}
}

// measured is a file whose header says how long it is.
type measured struct {
	u      *unpacker
	e      *zipEntry
	packed *io.LimitedReader
	r      io.Reader
	n      uint64
	crc    uint32
}

func (c *measured) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += uint64(n)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	switch {
	case err != io.EOF:
		return n, err
	case c.packed.N > 0 && c.e.method == stored: // the archive breaks off
		return n, io.ErrUnexpectedEOF
	case !c.e.described() && (c.crc != c.e.crc || c.n != c.e.size):
		return n, errZip
	}
	return n, io.EOF
}

// skip leaves out what was not read, without unpacking it.
func (c *measured) skip() error {
	if _, err := io.Copy(io.Discard, c.packed); err != nil {
		return err
	}
	if c.packed.N > 0 {
		return io.ErrUnexpectedEOF
	}
	if c.e.described() && !readDescriptor(c.u.a.r, func(_ uint32, packed, size uint64) bool {
		return packed == c.e.packed && size == c.e.size
	}) {
		return errZip
	}
	return nil
}

// inflated is a deflated file whose size stands behind it.
type inflated struct {
	u      *unpacker
	packed *counted
	r      io.Reader
	n      uint64
	crc    uint32
	err    error // how the file ended
}

func (c *inflated) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += uint64(n)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	if err == io.EOF && !readDescriptor(c.u.a.r, func(crc uint32, packed, size uint64) bool {
		return crc == c.crc && packed == c.packed.n && size == c.n
	}) {
		err = errZip
	}
	c.err = err
	return n, err
}

func (c *inflated) skip() error {
	_, err := io.Copy(io.Discard, c)
	return err
}

// counted counts what is read. Since it reads single bytes, no more is read than is needed.
type counted struct {
	r *bufio.Reader
	n uint64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += uint64(n)
	return n, err
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// searched is a file that does not tell its own end, and whose size stands behind it: the record is taken for what it is where it
// agrees with what was read before it.
type searched struct {
	r     *bufio.Reader
	known bool // what is read is the file itself, so that its checksum tells
	n     uint64
	crc   uint32
	ended bool
}

func (c *searched) Read(p []byte) (int, error) {
	if c.ended {
		return 0, io.EOF
	}
	next, err := c.r.Peek(max(longestDescriptor, c.r.Buffered()))
	if err != nil && err != io.EOF {
		return 0, err
	}
	at := bytes.Index(next, []byte(descriptorMark))
	switch {
	case at == 0 && readDescriptor(c.r, c.agrees):
		c.ended = true
		return 0, io.EOF
	case at == 0:
		at = len(descriptorMark)
	case at < 0 && len(next) < longestDescriptor:
		return 0, io.ErrUnexpectedEOF // no more comes, and no record either
	case at < 0:
		at = len(next) - len(descriptorMark) + 1
	}
	n := copy(p, next[:at])
	c.crc = crc32.Update(c.crc, crc32.IEEETable, next[:n])
	c.n += uint64(n)
	_, _ = c.r.Discard(n)
	return n, nil
}

func (c *searched) agrees(crc uint32, packed, size uint64) bool {
	return packed == c.n && (!c.known || crc == c.crc && size == c.n)
}

func (c *searched) skip() error {
	_, err := io.Copy(io.Discard, c)
	return err
}
