package scale

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// journalBytes is when a journal begins a new file; it keeps one older one.
const journalBytes = 8 << 20

// Journal keeps decisions on disk, one JSON object per line, in a file and an older one beside it. It is for people who ask why: a
// line that a crash cuts short is passed over. Its methods may be called from any number of goroutines.
type Journal struct {
	path string
	mu   sync.Mutex
}

// OpenJournal returns the journal at path. The file is made when the first decision is recorded.
func OpenJournal(path string) *Journal { return &Journal{path: path} }

func (j *Journal) older() string { return j.path + ".1" }

// Record appends a decision.
func (j *Journal) Record(d Decision) error {
	line, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding a scaling decision: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if info, err := os.Stat(j.path); err == nil && info.Size() >= journalBytes {
		if err := os.Rename(j.path, j.older()); err != nil {
			return fmt.Errorf("recording a scaling decision: %w", err)
		}
	}
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("recording a scaling decision: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("recording a scaling decision: %w", err)
	}
	return nil
}

// Since returns the newest decisions, at most most, that were made at or after since, oldest first.
func (j *Journal) Since(since time.Time, most int) ([]Decision, error) {
	return j.read(since, most, 2*journalBytes)
}

// latestBytes is how much of the end of each file Latest reads: some hundred decisions.
const latestBytes = 256 << 10

// Latest returns the newest decisions, at most most and not more than a few hundred, oldest first. It is quick however long the
// journal is.
func (j *Journal) Latest(most int) ([]Decision, error) {
	return j.read(time.Time{}, most, latestBytes)
}

// read looks at the last bytes of each file.
func (j *Journal) read(since time.Time, most int, bytes int64) ([]Decision, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := []Decision{}
	for _, path := range []string{j.older(), j.path} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading scaling decisions: %w", err)
		}
		if info, err := f.Stat(); err == nil && info.Size() > bytes {
			_, _ = f.Seek(-bytes, io.SeekEnd) // the line that this cuts is passed over
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var d Decision
			if json.Unmarshal(lines.Bytes(), &d) != nil || d.Seen.Now.Before(since) {
				continue
			}
			if all = append(all, d); len(all) >= 2*most {
				all = append(all[:0], all[len(all)-most:]...)
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return nil, fmt.Errorf("reading scaling decisions: %w", err)
		}
	}
	return all[max(0, len(all)-most):], nil
}
