package archive_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/archive"
)

const roomy = 1 << 30

// outcome is what becomes of each file: its name and content, or the code of what is wrong.
func outcome(kind archive.Kind, r io.Reader, limit int64) []string {
	var got []string
	for f, err := range archive.Files(kind, r, archive.NewBudget(limit)) {
		switch {
		case err != nil && ocelli.AsError(err) != nil:
			got = append(got, "archive: "+string(ocelli.AsError(err).Code))
		case err != nil:
			got = append(got, "stream: "+err.Error())
		case f.Fault != nil:
			got = append(got, f.Name+": "+string(f.Fault.Code))
		default:
			data, err := io.ReadAll(f.Body)
			text := string(data)
			if e := ocelli.AsError(err); e != nil {
				text = "bad: " + string(e.Code)
			} else if err != nil {
				text = "stream: " + err.Error()
			} else if len(text) > 60 {
				text = fmt.Sprintf("%d bytes, %08x", len(text), crc32.ChecksumIEEE(data))
			}
			got = append(got, f.Name+": "+text)
		}
	}
	return got
}

func wantOutcome(t *testing.T, kind archive.Kind, data []byte, want ...string) {
	t.Helper()
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data))} {
		if got := outcome(kind, r, roomy); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// zipped is an archive as Go writes it: the sizes stand behind each file. A name that ends in "!" is stored.
func zipped(pairs ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		h := &zip.FileHeader{Name: strings.TrimSuffix(pairs[i], "!"), Method: zip.Deflate}
		if h.Name != pairs[i] {
			h.Method = zip.Store
		}
		f, err := w.CreateHeader(h)
		if err == nil && pairs[i+1] != "" {
			_, err = io.WriteString(f, pairs[i+1])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// entry is one file with a header of the test's making.
type entry struct {
	name, data   string
	flags        uint16
	method       uint16
	packed, size uint32
	extra        []byte
	after        []byte // descriptor
}

func (e entry) bytes() []byte {
	b := []byte("PK\x03\x04\x14\x00")
	b = binary.LittleEndian.AppendUint16(b, e.flags)
	b = binary.LittleEndian.AppendUint16(b, e.method)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(e.data)))
	b = binary.LittleEndian.AppendUint32(b, e.packed)
	b = binary.LittleEndian.AppendUint32(b, e.size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.extra)))
	return append(append(append(append(b, e.name...), e.extra...), e.data...), e.after...)
}

// descriptor is a record behind a file with sizes of so many bytes.
func descriptor(mark string, data string, width int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte(mark), crc32.ChecksumIEEE([]byte(data)))
	for range 2 {
		if width == 8 {
			b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
		} else {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
		}
	}
	return b
}

const end = "PK\x05\x06"

func made(entries ...entry) []byte {
	var b []byte
	for _, e := range entries {
		b = append(b, e.bytes()...)
	}
	return append(b, end...)
}

func TestZipAsProgramsWriteIt(t *testing.T) {
	long := strings.Repeat("the same again ", 20_000)
	summary := fmt.Sprintf("%d bytes, %08x", len(long), crc32.ChecksumIEEE([]byte(long)))
	wantOutcome(t, archive.Zip, zipped("a", "one", "dir/", "", "dir/b!", "two", "dir/a", "", "l", long, "l!", long),
		"a: one", "dir/b: two", "dir/a: ", "l: "+summary, "l: "+summary)
	wantOutcome(t, archive.Zip, zipped())

	// Other programs write the sizes in front, or 8 bytes of them behind, or leave out the mark of the record.
	zip64 := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64([]byte{9, 9, 1, 0, 7, 1, 0, 16, 0}, 3), 3)
	wantOutcome(t, archive.Zip, made(
		entry{name: "front", data: "one", packed: 3, size: 3},
		entry{name: "both", data: "two", packed: 3, size: 3, flags: 8, after: descriptor("PK\x07\x08", "two", 4)},
		entry{name: "wide", data: "six", packed: 1<<32 - 1, size: 1<<32 - 1, extra: zip64},
		entry{name: "behind", data: "PK\x07\x08 is no record", flags: 8, after: descriptor("PK\x07\x08", "PK\x07\x08 is no record", 4)},
		entry{name: "wide behind", data: "PK\x07\x08PK\x07\x08", flags: 8, after: descriptor("PK\x07\x08", "PK\x07\x08PK\x07\x08", 8)},
		entry{name: "empty", flags: 8, after: descriptor("PK\x07\x08", "", 8)},
		entry{name: "no mark", data: "ten", packed: 3, size: 3, flags: 8, after: descriptor("", "ten", 8)},
	), "front: one", "both: two", "wide: six", "behind: PK\x07\x08 is no record", "wide behind: PK\x07\x08PK\x07\x08", "empty: ", "no mark: ten")
}

func TestZipWithFilesThatCannotBeRead(t *testing.T) {
	wantOutcome(t, archive.Zip, made(
		entry{name: "secret", data: "xxx", packed: 3, size: 3, flags: 1},
		entry{name: "secret behind", data: "xxxx", flags: 9, after: descriptor("PK\x07\x08", "xxxx", 4)},
		entry{name: "bzip2", data: "xxx", packed: 3, size: 9, method: 12},
		entry{name: "zstd behind", data: "xxx", flags: 8, method: 93, after: descriptor("PK\x07\x08", "xxx", 4)},
		entry{name: "no deflate", data: "\xff\xff\xff", packed: 3, size: 9, method: 8},
		entry{name: "../../etc/passwd", data: "still read", packed: 10, size: 10},
		entry{name: "shorter", data: "four", packed: 4, size: 5},
		entry{name: "a", data: "last", packed: 4, size: 4},
	), "secret: encrypted", "secret behind: encrypted", "bzip2: unsupported_type", "zstd behind: unsupported_type",
		"no deflate: bad: corrupt_archive", "../../etc/passwd: still read", "shorter: bad: corrupt_archive", "a: last")

	changed := bytes.Replace(made(entry{name: "a", data: "good", packed: 4, size: 4}), []byte("good"), []byte("evil"), 1)
	wantOutcome(t, archive.Zip, changed, "a: bad: corrupt_archive")
	wantOutcome(t, archive.Zip, made(entry{name: "a", data: "\xff\xff", method: 8, flags: 8}), "a: bad: corrupt_archive", "archive: corrupt_archive")
	wantOutcome(t, archive.Zip, zipped("[Content_Types].xml", "<x/>", "word/media/a.png", "x"), "archive: unsupported_type")
	wantOutcome(t, archive.Zip, zipped("__MACOSX/._a.jpg", "x", "p/.DS_Store", "x", "p/Thumbs.db", "x", "p/._b", "x", "p/c", "kept"), "p/c: kept")
}

// Whatever is cut off, what comes out before is whole and right, and the loss is told.
func TestACutArchiveSaysSo(t *testing.T) {
	long := strings.Repeat("0123456789", 30)
	var tarred bytes.Buffer
	w := tar.NewWriter(&tarred)
	for _, name := range []string{"a", "b", "c"} {
		_ = w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(long))})
		_, _ = io.WriteString(w, long)
	}
	_ = w.Close()
	good := fmt.Sprintf("%d bytes, %08x", len(long), crc32.ChecksumIEEE([]byte(long)))
	for kind, data := range map[archive.Kind][]byte{
		archive.Zip: zipped("a", long, "b!", long, "c", long), archive.Tar: tarred.Bytes(), archive.Gzip: gzipped(tarred.Bytes()),
	} {
		for n := range data {
			got := outcome(kind, bytes.NewReader(data[:n]), roomy)
			for i, line := range got {
				last := i >= len(got)-2
				if !strings.HasSuffix(line, ": "+good) && !(last && strings.Contains(line, "corrupt_archive")) &&
					!(kind == archive.Gzip && line == "archive: unsupported_type") {
					t.Errorf("%s cut after %d bytes of %d: %q", kind, n, len(data), got)
				}
			}
			if len(got) < 3 && (len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "archive: ")) {
				t.Errorf("%s cut after %d bytes of %d says nothing: %q", kind, n, len(data), got)
			}
		}
	}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func TestTar(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "d/", Typeflag: tar.TypeDir},
		{Name: "d/a", Typeflag: tar.TypeReg, Size: 3},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "hard", Typeflag: tar.TypeLink, Linkname: "d/a"},
		{Name: "device", Typeflag: tar.TypeChar},
		{Name: "/etc/shadow", Typeflag: tar.TypeReg, Size: 3},
		{Name: strings.Repeat("long/", 100) + "x", Typeflag: tar.TypeReg, Size: 3, Format: tar.FormatPAX},
		{Name: "._a", Typeflag: tar.TypeReg, Size: 3},
		{Name: "d/a", Typeflag: tar.TypeReg, Size: 3},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, "xyz"[:h.Size])
	}
	_ = w.Close()
	want := []string{"d/a: xyz", "link: unsupported_type", "hard: unsupported_type", "device: unsupported_type", "/etc/shadow: xyz",
		strings.Repeat("long/", 100) + "x: xyz", "d/a: xyz"}
	wantOutcome(t, archive.Tar, b.Bytes(), want...)
	wantOutcome(t, archive.Gzip, gzipped(b.Bytes()), want...)
	wantOutcome(t, archive.Gzip, gzipped([]byte("words")), "archive: unsupported_type")
	wantOutcome(t, archive.Gzip, gzipped(gzipped(b.Bytes())), "archive: unsupported_type")
	damaged := gzipped(b.Bytes())
	damaged[len(damaged)/2] ^= 0xff
	if got := outcome(archive.Gzip, bytes.NewReader(damaged), roomy); !strings.Contains(got[len(got)-1], "corrupt_archive") {
		t.Errorf("damaged: %q", got)
	}
}

// Of a hole nothing is in the archive, so nothing could be held against it: a file with one is not read, and the others are.
func TestTarWithHoles(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("there is no tar that could pack holes")
	}
	dir := t.TempDir()
	for name, size := range map[string]int64{"holes": 8 << 20, "whole": 0} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("xyz"), 0o600); err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, format := range []string{"gnu", "posix"} {
		data, err := exec.Command("tar", "--sparse", "--format="+format, "-C", dir, "-c", "holes", "whole").Output()
		if err != nil {
			t.Skipf("this tar packs no holes: %v", err)
		}
		if len(data) > 1<<20 {
			t.Skip("this file system has no holes")
		}
		wantOutcome(t, archive.Tar, data, "holes: unsupported_type", "whole: xyz")
	}
}

func TestBombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 260<<20)
	bomb, one := zipped("a", "fine", "bomb", zeros), gzipped(append(tarHeader("big", int64(len(zeros))), zeros...))
	for name, c := range map[string]struct {
		kind  archive.Kind
		data  []byte
		limit int64
		read  bool
		want  string
	}{
		"a zip over the limit":              {archive.Zip, bomb, 10 << 20, true, "a: 4, bomb: too_large, archive: too_large"},
		"a zip out of all proportion":       {archive.Zip, bomb, roomy, true, "a: 4, bomb: too_large, archive: too_large"},
		"a file that nobody reads":          {archive.Zip, bomb, roomy, false, "a: -, bomb: -, archive: too_large"},
		"compressed, with nothing behind":   {archive.Gzip, gzipped([]byte(zeros)), roomy, true, "archive: unsupported_type"},
		"compressed, one large file":        {archive.Gzip, one, roomy, true, "big: too_large, archive: too_large"},
		"compressed, one that nobody reads": {archive.Gzip, one, roomy, false, "big: -, archive: too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for f, err := range archive.Files(c.kind, bytes.NewReader(c.data), archive.NewBudget(c.limit)) {
				if err != nil {
					got = append(got, "archive: "+string(ocelli.AsError(err).Code))
					break
				}
				if !c.read {
					got = append(got, f.Name+": -")
					continue
				}
				n, err := io.Copy(io.Discard, f.Body)
				if e := ocelli.AsError(err); e != nil {
					got = append(got, f.Name+": "+string(e.Code))
				} else {
					got = append(got, fmt.Sprintf("%s: %d", f.Name, n))
				}
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got %s, want %s", strings.Join(got, ", "), c.want)
			}
		})
	}
}

// tarHeader is the header of one file.
func tarHeader(name string, size int64) []byte {
	var b bytes.Buffer
	_ = tar.NewWriter(&b).WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size})
	return b.Bytes()
}

func TestManyEntriesThatAreNoFiles(t *testing.T) {
	folder := entry{name: "d/"}.bytes()
	data := append(bytes.Repeat(folder, 100_001), end...)
	wantOutcome(t, archive.Zip, data, "archive: too_many_images")
}

func TestTheErrorOfTheStreamIsItsOwn(t *testing.T) {
	data := zipped("a", "one", "b", strings.Repeat("two", 1000))
	broken := io.MultiReader(bytes.NewReader(data[:60]), iotest.ErrReader(errors.New("gone")))
	got := outcome(archive.Zip, broken, roomy)
	if strings.Join(got, ", ") != "a: one, stream: gone" {
		t.Errorf("got %q", got)
	}
}

func TestSniff(t *testing.T) {
	old := tarHeader("a", 1)
	copy(old[257:], make([]byte, 8)) // as before the mark
	sum := 0
	copy(old[148:], "        ")
	for _, c := range old[:512] {
		sum += int(c)
	}
	copy(old[148:], fmt.Sprintf("%06o\x00 ", sum))
	for name, c := range map[string]struct {
		head string
		want archive.Kind
	}{
		"zip": {string(zipped("a", "b")), archive.Zip}, "an empty zip": {string(zipped()), archive.Zip}, "tar": {string(tarHeader("a", 1)), archive.Tar},
		"old tar": {string(old), archive.Tar}, "gzip": {string(gzipped(nil)), archive.Gzip}, "nothing": {"", ""}, "text": {strings.Repeat("PK ", 500), ""},
		"a jpeg": {"\xff\xd8\xff\xe0", ""}, "zeros": {string(make([]byte, 600)), ""}, "cut tar": {string(tarHeader("a", 1)[:511]), ""},
	} {
		if got := archive.Sniff([]byte(c.head)); got != c.want {
			t.Errorf("%s is %q, want %q", name, got, c.want)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add(zipped("a", "one", "b!", "two", "d/", ""))
	f.Add(made(entry{name: "e", data: "xx", flags: 9, after: descriptor("PK\x07\x08", "xx", 8)}))
	f.Add(append(tarHeader("t", 3), "abc"...))
	f.Add(gzipped(append(tarHeader("t", 3), make([]byte, 1024)...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		for _, kind := range []archive.Kind{archive.Zip, archive.Tar, archive.Gzip} {
			read, files := int64(0), 0
			for f, err := range archive.Files(kind, bytes.NewReader(data), archive.NewBudget(limit)) {
				if err != nil {
					if ocelli.AsError(err) == nil {
						t.Errorf("an error without a sentence: %v", err)
					}
					continue
				}
				if files++; files%3 == 0 || f.Fault != nil {
					continue // not read at all
				}
				n, err := io.Copy(io.Discard, f.Body)
				if err != nil && ocelli.AsError(err) == nil {
					t.Errorf("an error without a sentence: %v", err)
				}
				read += n
			}
			if read > limit+int64(len(data)) {
				t.Errorf("%d bytes came out of %d", read, len(data))
			}
		}
	})
}

// What Go's own reader finds in an archive, the stream gives as well, with the same bytes.
func FuzzZipAsTheDirectorySays(f *testing.F) {
	f.Add([]byte("one"), []byte("PK\x07\x08"), true)
	f.Add([]byte(""), bytes.Repeat([]byte("ab"), 5000), false)
	f.Fuzz(func(t *testing.T, one, two []byte, store bool) {
		mark := ""
		if store {
			mark = "!"
		}
		data := zipped("1"+mark, string(one), "2"+mark, string(two), "3!", string(zipped("1"+mark, string(two))))
		whole, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for file, err := range archive.Files(archive.Zip, bytes.NewReader(data), archive.NewBudget(roomy)) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := whole.File[i].Open()
			if err != nil {
				t.Fatal(err)
			}
			want, _ := io.ReadAll(r)
			got, err := io.ReadAll(file.Body)
			if err != nil || file.Name != whole.File[i].Name || !bytes.Equal(got, want) {
				t.Errorf("file %d: %q of %d bytes, %v; want %q of %d", i, file.Name, len(got), err, whole.File[i].Name, len(want))
			}
			i++
		}
		if i != len(whole.File) {
			t.Errorf("%d files, want %d", i, len(whole.File))
		}
	})
}
