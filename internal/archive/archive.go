// Package archive reads zip, tar and gzip-compressed tar archives as streams: one file after another, while later ones are still on
// their way. Nothing is written to disk and nothing held whole in memory. Archives are hostile: what they say of themselves
// is believed only as far as it harms nobody.
package archive

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"path"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli"
)

// Kind is a format of archives, by the usual ending of its files.
type Kind string

// The formats that are read.
const (
	Zip  Kind = "zip"
	Tar  Kind = "tar"
	Gzip Kind = "tar.gz"
)

// HeadBytes is how many of the first bytes of a file [Sniff] looks at.
const HeadBytes = 512

// Sniff returns the kind of archive that begins with head, and "" where it is none.
func Sniff(head []byte) Kind {
	text := string(head[:min(len(head), HeadBytes)])
	switch {
	case strings.HasPrefix(text, localHeader), strings.HasPrefix(text, endOfDirectory):
		return Zip
	case strings.HasPrefix(text, "\x1f\x8b\x08"):
		return Gzip
	case len(text) == HeadBytes && isTarHeader(text):
		return Tar
	}
	return ""
}

// isTarHeader tells a tar header by its checksum, which also those from before the "ustar" mark have
// (https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html, "ustar Interchange Format").
func isTarHeader(block string) bool {
	const from, to = 148, 156
	want, err := strconv.ParseInt(strings.Trim(block[from:to], " \x00"), 8, 32)
	if err != nil || want == 0 {
		return false
	}
	sum := int64(0)
	for i := range len(block) {
		if i >= from && i < to {
			sum += ' '
		} else {
			sum += int64(block[i])
		}
	}
	return sum == want
}

// File is one file of an archive.
type File struct {
	Name  string        // as the archive says, with folders: hostile
	Body  io.Reader     // to be read before the next file is asked for, as far as it is wanted
	Fault *ocelli.Error // in place of Body: why the file cannot be read
}

// Files yields the files of an archive in their order, without folders and without what operating systems add of their own. An
// [ocelli.Error], of a Body and of the sequence, says what is wrong with the file or the archive, in a sentence that lacks its subject;
// every other error comes from r. The sequence ends after its first error.
func Files(kind Kind, r io.Reader, budget *Budget) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		in := &input{r: r, budget: budget}
		a := &reader{in: in, r: bufio.NewReaderSize(in, 64<<10)}
		var err error
		switch kind {
		case Zip:
			err = a.zip(yield)
		case Tar:
			err = a.tar(a.r, yield)
		case Gzip:
			err = a.gzip(yield)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(File{}, a.explain(err))
		}
	}
}

// errStopped ends the reading when the caller wants no more.
var errStopped = errors.New("stopped")

// mostSkipped bounds the entries of an archive that are passed over.
const mostSkipped = 100_000

// reader reads one archive.
type reader struct {
	in      *input
	r       *bufio.Reader
	files   int // that were yielded
	skipped int
}

// wanted reports whether an entry is a file that somebody has put into the archive.
func (a *reader) wanted(name string) (bool, error) {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	switch {
	case strings.HasSuffix(name, "/"), strings.HasPrefix(name, "__MACOSX/"), strings.HasPrefix(base, "._"),
		base == ".DS_Store", strings.EqualFold(base, "thumbs.db"), strings.EqualFold(base, "desktop.ini"):
		if a.skipped++; a.skipped > mostSkipped {
			return false, ocelli.Errorf(ocelli.TooManyImages, "has more than %d folders and files of operating systems: pack the pictures alone", mostSkipped)
		}
		return false, nil
	}
	a.files++
	return true, nil
}

// explain says what is wrong with an archive, unless it is the stream that it comes from.
func (a *reader) explain(err error) error {
	if a.in.err != nil {
		return a.in.err
	}
	if e := ocelli.AsError(err); e != nil {
		return e
	}
	return ocelli.Errorf(ocelli.CorruptArchive, "is a damaged archive and cannot be read beyond its file number %d: pack it again", a.files)
}

// body gives the errors of a file's content the same meaning.
type body struct {
	a *reader
	r io.Reader
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case b.a.in.err != nil:
		return n, b.a.in.err
	case ocelli.AsError(err) != nil:
		return n, ocelli.AsError(err)
	}
	return n, ocelli.Errorf(ocelli.CorruptArchive, "is damaged in its archive: pack it again")
}

// input is the stream that an archive comes from.
type input struct {
	r      io.Reader
	budget *Budget
	err    error // of r, other than its end
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.budget.packed += int64(n)
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}
