package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"

	"github.com/ocelli/ocelli"
)

// gzip reads a tar archive that is compressed as a whole.
func (a *reader) gzip(yield func(File, error) bool) error {
	unpacked, err := gzip.NewReader(a.r)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(&spending{r: unpacked, budget: a.in.budget}, 64<<10)
	head, err := r.Peek(HeadBytes)
	if err != nil && err != io.EOF {
		return err
	}
	if Sniff(head) != Tar {
		return ocelli.Errorf(ocelli.UnsupportedType, "is compressed with gzip and is no tar archive: send it as it was before")
	}
	return a.tar(r, yield)
}

// tarBlock is the size of the blocks of a tar archive, of which two of zeros are the last.
const tarBlock = 512

// zeros counts the zeros at the end of what was read.
type zeros struct {
	r io.Reader
	n int
}

func (z *zeros) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	if rest := len(bytes.TrimRight(p[:n], "\x00")); rest > 0 {
		z.n = n - rest
	} else {
		z.n += n
	}
	return n, err
}

func (a *reader) tar(r io.Reader, yield func(File, error) bool) error {
	whole := &zeros{r: r}
	for entries := tar.NewReader(whole); ; {
		h, err := entries.Next()
		if err == io.EOF && whole.n < tarBlock {
			return io.ErrUnexpectedEOF // which an archive whose last files are cut off does not say
		}
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // names are only ever shown
			return err
		}
		file := File{Name: h.Name, Body: &body{a, entries}}
		switch {
		case isSparse(h):
			file.Body = nil
			file.Fault = ocelli.Errorf(ocelli.UnsupportedType, "is packed with holes, which can be of any size: pack it without --sparse")
		case h.Typeflag == tar.TypeReg, h.Typeflag == tar.TypeCont:
		case h.Typeflag == tar.TypeDir:
			file.Name += "/"
		case h.Typeflag == tar.TypeXGlobalHeader:
			continue
		default:
			file.Body = nil
			file.Fault = ocelli.Errorf(ocelli.UnsupportedType, "is a link or a device, and no file of its own: pack the file itself")
		}
		wanted, err := a.wanted(file.Name)
		if err != nil {
			return err
		}
		if wanted && !yield(file, nil) {
			return errStopped
		}
	}
}

// isSparse reports whether a file was packed without its zeros. They would come out of nothing: no budget could be held against them.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}
