package bulk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli"
)

// Format is how results are written, one on each line.
type Format interface {
	// Header is what a file begins with.
	Header() []byte
	// Line returns a result with the end of its line.
	Line(r ocelli.Result) []byte
	// Names calls each with what the lines of a file say, and returns how many bytes of it are whole lines. The rest
	// is what a process that was killed had begun to write.
	Names(file io.Reader, each func(name string, code ocelli.Code)) (whole int64, err error)
	// Torn reports whether all of a file that has no whole line may be what is left of a file of ours.
	Torn(file []byte) bool
}

// FormatOf returns the format that the name of a file stands for, nil for none.
func FormatOf(path string) Format {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ndjson", ".jsonl", ".json":
		return NDJSON{}
	case ".csv":
		return CSV{}
	}
	return nil
}

// NDJSON writes each result as one line of JSON. File names are bytes, and JSON is UTF-8: those of a name that is not stand in the line
// also in base64, as "name_bytes".
type NDJSON struct{}

// Header is empty.
func (NDJSON) Header() []byte { return nil }

// Line implements [Format].
func (NDJSON) Line(r ocelli.Result) []byte {
	line, err := json.Marshal(r)
	if err == nil && !utf8.ValidString(r.Name) {
		line, err = json.Marshal(struct {
			ocelli.Result
			NameBytes []byte `json:"name_bytes"`
		}{r, []byte(r.Name)})
	}
	if err != nil {
		panic(err) // our own types always marshal
	}
	return append(line, '\n')
}

// Torn implements [Format].
func (NDJSON) Torn(file []byte) bool {
	const begin = `{"image":"`
	if len(file) < len(begin) {
		return strings.HasPrefix(begin, string(file))
	}
	return strings.HasPrefix(string(file), begin) && (!json.Valid(file) || bytes.Contains(file, []byte(`"timings_ms":`)))
}

// Names implements [Format].
func (NDJSON) Names(file io.Reader, each func(string, ocelli.Code)) (whole int64, err error) {
	lines := bufio.NewReaderSize(file, 64<<10)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		var r struct {
			Name      *string       `json:"name"`
			NameBytes []byte        `json:"name_bytes"`
			Error     *ocelli.Error `json:"error"`
		}
		if json.Unmarshal(line, &r) != nil || r.Name == nil {
			return whole, fmt.Errorf("line %d is no result of `ocelli classify`", n)
		}
		code := ocelli.Code("")
		if r.Error != nil {
			code = r.Error.Code
		}
		if len(r.NameBytes) > 0 {
			*r.Name = string(r.NameBytes)
		}
		each(*r.Name, code)
		whole += int64(len(line))
	}
}

// CSV writes a table after RFC 4180.
type CSV struct{}

var columns = []string{"name", "label", "label_id", "score", "parents", "width", "height", "error", "message"}

func record(cells ...string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(cells) // a buffer takes everything
	w.Flush()
	return b.Bytes()
}

// Header is the names of the columns.
func (CSV) Header() []byte { return record(columns...) }

// Line implements [Format].
func (CSV) Line(r ocelli.Result) []byte {
	cells := make([]string, len(columns))
	cells[0] = ocelli.Cell(r.Name)
	if len(r.Labels) > 0 {
		best := r.Labels[0]
		cells[1], cells[2], cells[3] = ocelli.Cell(best.Name), ocelli.Cell(best.ID), strconv.FormatFloat(best.Score, 'f', 4, 64)
		cells[4] = ocelli.Cell(strings.Join(best.Parents, "; "))
	}
	if r.Width > 0 {
		cells[5], cells[6] = strconv.Itoa(r.Width), strconv.Itoa(r.Height)
	}
	if r.Error != nil {
		cells[7], cells[8] = string(r.Error.Code), ocelli.Cell(r.Error.Message)
	}
	return record(cells...)
}

// Torn implements [Format].
func (c CSV) Torn(file []byte) bool { return bytes.HasPrefix(c.Header(), file) }

// Names implements [Format].
func (CSV) Names(file io.Reader, each func(string, ocelli.Code)) (whole int64, err error) {
	last := &lastByte{r: file}
	table := csv.NewReader(last)
	table.ReuseRecord, table.FieldsPerRecord = true, -1
	for {
		cells, err := table.Read()
		if err != nil {
			// The file may end within quotes.
			if errors.Is(err, io.EOF) || last.ended {
				return whole, nil
			}
			return whole, err
		}
		if end := table.InputOffset(); last.ended && end == last.n && last.last != '\n' {
			return whole, nil
		}
		if whole == 0 && strings.Join(cells, ",") != strings.Join(columns, ",") || len(cells) != len(columns) {
			line, _ := table.FieldPos(0)
			return whole, fmt.Errorf("line %d is not of a table of `ocelli classify`", line)
		}
		if whole > 0 {
			each(ocelli.Uncell(cells[0]), ocelli.Code(cells[7]))
		}
		whole = table.InputOffset()
	}
}

// lastByte remembers the end of what is read.
type lastByte struct {
	r     io.Reader
	n     int64
	last  byte
	ended bool
}

func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.last, l.n = p[n-1], l.n+int64(n)
	}
	l.ended = l.ended || err == io.EOF
	return n, err
}

// mostTorn bounds a line that was begun: a few labels.
const mostTorn = 1 << 20

// syncEvery is how much work a loss of power can cost. The end of the process costs none.
const syncEvery = time.Second

// File is an output file to which results are added, one line each.
type File struct {
	f      *os.File
	format Format
	synced time.Time
}

// Create makes a new output file. It is an error where there is one: it may be hours of work.
func Create(path string, format Format) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there already: go on with it by --resume, or name another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("the results cannot be written: %w", err)
	}
	out := &File{f: f, format: format, synced: time.Now()}
	if err := errors.Join(lock(f, path), out.write(format.Header())); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

// Resume opens an output file to go on with it, or makes it, and calls each with what it holds. The beginning of a line that a process
// which was killed left at its end is removed.
func Resume(path string, format Format, each func(name string, code ocelli.Code)) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Create(path, format)
	}
	if err != nil {
		return nil, fmt.Errorf("the results cannot be gone on with: %w", err)
	}
	out := &File{f: f, format: format, synced: time.Now()}
	if err := out.resume(path, each); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return out, nil
}

func (o *File) resume(path string, each func(string, ocelli.Code)) error {
	if err := lock(o.f, path); err != nil {
		return err
	}
	whole, err := o.format.Names(o.f, each)
	if err == nil && whole == 0 {
		err = o.torn()
	}
	if err != nil {
		return fmt.Errorf("%s cannot be gone on with: %w: name another file", path, err)
	}
	if err := o.f.Truncate(whole); err != nil {
		return err
	}
	if _, err := o.f.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	if whole == 0 {
		return o.write(o.format.Header())
	}
	return nil
}

// torn is an error where a file without a whole line is not ours: it would be emptied.
func (o *File) torn() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	file := make([]byte, min(info.Size(), mostTorn))
	if _, err := io.ReadFull(io.NewSectionReader(o.f, 0, info.Size()), file); err != nil {
		return err
	}
	if info.Size() > mostTorn || !o.format.Torn(file) {
		return errors.New("it holds no result of `ocelli classify`")
	}
	return nil
}

// lock keeps two runs from writing one file. It ends with the process.
func lock(f *os.File, path string) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s is being written by another run: wait for it, or name another file", path)
	}
	return nil // a file system without locks does without
}

// write hands a line to the kernel whole, which keeps it also when this process is killed.
func (o *File) write(line []byte) error {
	if _, err := o.f.Write(line); err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	return nil
}

// Put implements [Output].
func (o *File) Put(_ context.Context, _ Item, r ocelli.Result) error {
	if err := o.write(o.format.Line(r)); err != nil {
		return err
	}
	if time.Since(o.synced) < syncEvery {
		return nil
	}
	o.synced = time.Now()
	return o.f.Sync()
}

// Close makes the file durable.
func (o *File) Close() error { return errors.Join(o.f.Sync(), o.f.Close()) }
