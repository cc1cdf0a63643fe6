package onnx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// message reads one protocol buffer message field by field from a stream
// (https://protobuf.dev/programming-guides/encoding/), holding no more of it than asked for.
type message struct {
	r    *source
	left int64 // bytes
}

// source is a stream of which parts can be left out.
type source struct {
	*bufio.Reader
	under io.Reader
}

func newSource(r io.Reader) *source { return &source{bufio.NewReaderSize(r, 1<<16), r} }

// leaveOut passes over n bytes, without reading them where the stream can be positioned.
func (s *source) leaveOut(n int64) error {
	seeker, ok := s.under.(io.Seeker)
	if !ok || n <= int64(s.Buffered()) {
		_, err := io.CopyN(io.Discard, s.Reader, n)
		return err
	}
	_, err := seeker.Seek(n-int64(s.Buffered()), io.SeekCurrent)
	s.Reset(s.under)
	return err
}

// The wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// maxText is the size in bytes above which a name is refused.
const maxText = 1 << 16

// errMalformed tells that the bytes are no protocol buffer message.
var errMalformed = errors.New("malformed")

// next returns the number and wire type of the next field, and io.EOF at the end.
func (m *message) next() (field, wire int, err error) {
	if m.left == 0 {
		return 0, 0, io.EOF
	}
	tag, err := m.varint()
	if err != nil {
		return 0, 0, err
	}
	if tag>>3 == 0 || tag>>3 > 1<<29 {
		return 0, 0, errMalformed
	}
	return int(tag >> 3), int(tag & 7), nil
}

func (m *message) varint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := m.r.ReadByte()
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if m.left--; m.left < 0 {
			return 0, errMalformed
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errMalformed
}

// length reads the length of a field of bytes and takes that many from what is left.
func (m *message) length() (int64, error) {
	n, err := m.varint()
	if err != nil {
		return 0, err
	}
	if n > uint64(m.left) {
		return 0, fmt.Errorf("%w: a part of it should have %d bytes and only %d are left", io.ErrUnexpectedEOF, n, m.left)
	}
	m.left -= int64(n)
	return int64(n), nil
}

// text reads a field of bytes.
func (m *message) text() (string, error) {
	n, err := m.length()
	if err != nil {
		return "", err
	}
	if n > maxText {
		return "", fmt.Errorf("%w: a name of %d bytes", errMalformed, n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	return string(b), err
}

// within reads a field that is itself a message: read must consume fields until io.EOF, or return an error.
func (m *message) within(read func(sub *message, field, wire int) error) error {
	n, err := m.length()
	if err != nil {
		return err
	}
	return (&message{m.r, n}).each(read)
}

// each calls read for every field. read must consume the field's value.
func (m *message) each(read func(sub *message, field, wire int) error) error {
	for {
		field, wire, err := m.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = read(m, field, wire)
		}
		if err != nil {
			return err
		}
	}
}

// skip passes over the value of a field.
func (m *message) skip(wire int) error {
	var n int64
	var err error
	switch wire {
	case wireVarint:
		_, err = m.varint()
	case wireBytes:
		n, err = m.length()
	case wireFixed64:
		n, err = m.fixed(8)
	case wireFixed32:
		n, err = m.fixed(4)
	default:
		err = errMalformed
	}
	if err == nil {
		err = m.r.leaveOut(n)
	}
	return err
}

// fixed takes n bytes from what is left.
func (m *message) fixed(n int64) (int64, error) {
	if n > m.left {
		return 0, io.ErrUnexpectedEOF
	}
	m.left -= n
	return n, nil
}
