package durable

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// A log begins with a header: a line that names the format, a random mark, and the life of the mount in which the log was
// made. Records follow. Each begins with the mark, which nobody outside can know: so a record that a crash cut short is
// passed over by looking for the next mark, and an uploaded file that looks like a record is none.
//
//	mark      16 bytes
//	checksum   4 bytes, CRC-32C of all that follows
//	kind       1 byte
//	name       2 bytes of length, then its bytes
//	body       4 bytes of length, then its bytes
//
// Numbers are little-endian.
const (
	logFormat  = "ocelli journal 1\n"
	markBytes  = 16
	lifeBytes  = 64
	headBytes  = len(logFormat) + markBytes + lifeBytes
	fixedBytes = markBytes + 4 + 1 + 2 + 4
)

// kind says what became of a name.
type kind byte

const (
	written   kind = 1 + iota // the file has the bytes in the record
	elsewhere                 // the file was made durable by itself
	removed
)

// record is one change of one name.
type record struct {
	kind kind
	name string
	body []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r record) appendTo(b []byte, mark [markBytes]byte) []byte {
	b = append(b, mark[:]...)
	at := len(b)
	b = append(b, 0, 0, 0, 0, byte(r.kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.name)))
	b = append(b, r.name...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.body)))
	b = append(b, r.body...)
	binary.LittleEndian.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

// parse returns the record at the beginning of b, which begins with the mark, and its length, or 0 where it is not whole.
func parse(b []byte) (r record, n int) {
	if len(b) < fixedBytes {
		return r, 0
	}
	rest := b[markBytes:]
	sum, rest := binary.LittleEndian.Uint32(rest), rest[4:]
	checked := rest
	r.kind, rest = kind(rest[0]), rest[1:]
	nameLen, rest := int(binary.LittleEndian.Uint16(rest)), rest[2:]
	if len(rest) < nameLen+4 {
		return r, 0
	}
	r.name, rest = string(rest[:nameLen]), rest[nameLen:]
	bodyLen, rest := int64(binary.LittleEndian.Uint32(rest)), rest[4:]
	if int64(len(rest)) < bodyLen {
		return r, 0
	}
	r.body = rest[:bodyLen]
	n = fixedBytes + nameLen + int(bodyLen)
	if crc32.Checksum(checked[:n-markBytes-4], castagnoli) != sum {
		return r, 0
	}
	return r, n
}

// records calls yield for each whole record of a log, in order.
func records(log []byte, mark [markBytes]byte, yield func(record)) {
	for {
		at := bytes.Index(log, mark[:])
		if at < 0 {
			return
		}
		log = log[at:]
		if r, n := parse(log); n > 0 {
			yield(r)
			log = log[n:]
		} else {
			log = log[markBytes:]
		}
	}
}

// header is what a log begins with.
type header struct {
	mark [markBytes]byte
	life string
}

func newHeader(life string) []byte {
	b := make([]byte, headBytes)
	n := copy(b, logFormat)
	rand.Read(b[n : n+markBytes])
	copy(b[n+markBytes:], life)
	return b
}

var errNoJournal = errors.New("it is not the journal of this version")

func readHeader(f *os.File) (h header, err error) {
	b := make([]byte, headBytes)
	if _, err := f.ReadAt(b, 0); err == io.EOF {
		return h, errNoJournal
	} else if err != nil {
		return h, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(logFormat))
	if !ok {
		return h, errNoJournal
	}
	n := copy(h.mark[:], rest)
	h.life = string(bytes.TrimRight(rest[n:], "\x00"))
	return h, nil
}
