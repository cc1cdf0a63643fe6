package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var (
	errEndsEarly   = fmt.Errorf("its header is cut short: %w", io.ErrUnexpectedEOF)
	errSizes       = errors.New("its headers disagree about its size")
	errNoDirectory = errors.New("it has no directory of tags")
)

func be16(b []byte) uint32 { return uint32(binary.BigEndian.Uint16(b)) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
func le16(b []byte) uint32 { return uint32(binary.LittleEndian.Uint16(b)) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// reader reads data until ctx ends: the Go decoders take no context, but they read on as they go.
type reader struct {
	*bytes.Reader
	ctx context.Context
}

func newReader(ctx context.Context, data []byte) io.Reader {
	return reader{bytes.NewReader(data), ctx}
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	// Small pieces, so that a decoder which reads to the end of what it is given comes back now and then.
	return r.Reader.Read(p[:min(len(p), 32<<10)])
}

func (r reader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.ReadAt(p, off)
}
