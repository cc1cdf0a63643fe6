package archive

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"path"
	"strings"

	"github.com/ocelli/ocelli"
)

// A zip archive says what it holds in a directory at its end (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT). A stream
// cannot begin there: it is read by the headers in front of the files, which say the same, save for links
// and deleted files. Where a header leaves out the size of its file, deflate tells its own end, and for the rest the
// record behind the file is looked for, which must agree with what was read.

const (
	localHeader      = "PK\x03\x04"
	descriptorMark   = "PK\x07\x08"
	directory        = "PK\x01\x02"
	endOfDirectory   = "PK\x05\x06"
	endOfDirectory64 = "PK\x06\x06"
	extraData        = "PK\x06\x08"
)

// The bits of a header's flags that matter here.
const (
	flagEncrypted     = 1 << 0
	flagDescriptor    = 1 << 3
	flagStrong        = 1 << 6
	flagMaskedHeaders = 1 << 13
)

// The methods of compression that are read.
const (
	stored   = 0
	deflated = 8
)

// zipEntry is one file of a zip archive, by its local header.
type zipEntry struct {
	name         string
	flags        uint16
	method       uint16
	crc          uint32
	packed, size uint64
}

func (e *zipEntry) encrypted() bool {
	return e.flags&(flagEncrypted|flagStrong|flagMaskedHeaders) != 0
}

// described reports whether a descriptor follows the file, with what the header leaves out.
func (e *zipEntry) described() bool { return e.flags&flagDescriptor != 0 }

// sized reports whether the header says how long the packed file is.
func (e *zipEntry) sized() bool { return !e.described() || e.packed != 0 }

var errZip = errors.New("not as a zip archive should be")

func (a *reader) zip(yield func(File, error) bool) error {
	unpacker := &unpacker{a: a}
	for {
		mark, err := a.r.Peek(4)
		switch string(mark) {
		case localHeader:
		case directory, endOfDirectory, endOfDirectory64, extraData:
			return nil
		default:
			return errors.Join(errZip, err)
		}
		entry, err := readEntry(a.r)
		if err != nil {
			return err
		}
		if a.files == 0 && isDocument(entry.name) {
			return ocelli.Errorf(ocelli.UnsupportedType, "is an Office document or a program, and no archive of pictures: send the pictures themselves")
		}
		content := unpacker.open(entry)
		wanted, err := a.wanted(entry.name)
		if err != nil {
			return err
		}
		if wanted && !yield(a.file(entry, content), nil) {
			return errStopped
		}
		if err := content.skip(); err != nil {
			return err
		}
	}
}

// file is what is shown of an entry.
func (a *reader) file(e *zipEntry, content content) File {
	switch {
	case e.encrypted():
		return File{Name: e.name, Fault: ocelli.Errorf(ocelli.Encrypted, "is encrypted: pack it without a password")}
	case e.method != stored && e.method != deflated:
		return File{Name: e.name, Fault: ocelli.Errorf(ocelli.UnsupportedType,
			"is packed by a method that is not read here (number %d): pack it by deflate, the usual one", e.method)}
	}
	return File{Name: e.name, Body: &body{a, content}}
}

// isDocument reports whether an archive whose first file has this name is something else to people.
func isDocument(first string) bool {
	return first == "[Content_Types].xml" || first == "mimetype" || strings.HasPrefix(first, "META-INF/") || path.Base(first) == "AndroidManifest.xml"
}

// readEntry reads a local header (APPNOTE, section 4.3.7).
func readEntry(r *bufio.Reader) (*zipEntry, error) {
	var fixed [30]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return nil, err
	}
	word := func(at int) uint16 { return binary.LittleEndian.Uint16(fixed[at:]) }
	long := func(at int) uint32 { return binary.LittleEndian.Uint32(fixed[at:]) }
	e := &zipEntry{flags: word(6), method: word(8), crc: long(14), packed: uint64(long(18)), size: uint64(long(22))}
	rest := make([]byte, int(word(26))+int(word(28)))
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, err
	}
	e.name = string(rest[:word(26)])
	if e.packed == math.MaxUint32 || e.size == math.MaxUint32 {
		e.widen(rest[word(26):])
	}
	if e.sized() && e.packed > math.MaxInt64 {
		return nil, errZip
	}
	return e, nil
}

// widen takes sizes from the Zip64 extra field (APPNOTE, section 4.5.3), which holds those that have no room in the header.
func (e *zipEntry) widen(extra []byte) {
	const zip64 = 1
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return
		}
		field := extra[:n]
		extra = extra[n:]
		if id != zip64 {
			continue
		}
		for _, size := range []*uint64{&e.size, &e.packed} {
			if *size == math.MaxUint32 && len(field) >= 8 {
				*size = binary.LittleEndian.Uint64(field)
				field = field[8:]
			}
		}
	}
}

// readDescriptor reads the record behind a file (APPNOTE, section 4.3.9) where it says what agree takes and another header follows: with
// or without its mark, with sizes of 4 or 8 bytes. It reports whether there was one, and reads nothing otherwise.
func readDescriptor(r *bufio.Reader, agree func(crc uint32, packed, size uint64) bool) bool {
	next, _ := r.Peek(longestDescriptor + 2)
	for _, mark := range []string{descriptorMark, ""} {
		for _, width := range []int{4, 8} {
			sizes := len(mark) + 4
			end := sizes + 2*width
			if len(next) < end+2 || !bytes.HasPrefix(next, []byte(mark)) || string(next[end:end+2]) != "PK" {
				continue
			}
			crc := binary.LittleEndian.Uint32(next[len(mark):])
			if agree(crc, number(next[sizes:sizes+width]), number(next[sizes+width:end])) {
				_, _ = r.Discard(end)
				return true
			}
		}
	}
	return false
}

// longestDescriptor is the size of one with a mark, a checksum and two sizes of 8 bytes.
const longestDescriptor = 24

// number is a little-endian number of 4 or 8 bytes.
func number(b []byte) uint64 {
	if len(b) == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}
