package scale

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
)

// DecisionsPrefix is what the keys of a [StoreJournal] begin with.
const DecisionsPrefix = "decisions/"

const (
	// chapterTime is how long decisions go into one blob, which is written anew with each that matters.
	chapterTime = 10 * time.Minute

	// chapterBytes is when a blob is full before that.
	chapterBytes = 1 << 20

	// quietFor is how long decisions that started and ended nobody may wait to be written.
	quietFor = 10 * time.Second

	// journalTimeout bounds one request to the store: the loop that decides waits for it.
	journalTimeout = 5 * time.Second

	// longestLook is how far back Since looks at most.
	longestLook = 366 * 24 * time.Hour

	dayFormat, chapterFormat = "2006-01-02/", "1504"
)

// StoreJournal keeps decisions in a store that several machines share, as JSON lines in a blob for every ten minutes in which
// something was decided. Decisions that changed no workers may be lost, those of the last seconds before a crash. Its methods may be called from any number
// of goroutines.
type StoreJournal struct {
	store blob.Store

	mu    sync.Mutex
	key   string    // of the blob that is being written
	began time.Time // of its ten minutes
	lines []byte    // all of it
	saved time.Time // when it was last written

	looking sync.Mutex // held while Latest reads
	latest  []Decision
	looked  time.Time // when latest was read
}

// NewStoreJournal returns a journal in the store.
func NewStoreJournal(store blob.Store) *StoreJournal { return &StoreJournal{store: store} }

// Record appends a decision.
func (j *StoreJournal) Record(d Decision) error {
	line, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding a scaling decision: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if at := d.Seen.Now.UTC().Truncate(chapterTime); !at.Equal(j.began) || len(j.lines) > chapterBytes {
		if err := j.save(); err != nil {
			return err
		}
		j.key = DecisionsPrefix + at.Format(dayFormat+chapterFormat) + "-" + rand.Text()[:8] + ".ndjson"
		j.began, j.lines = at, nil
	}
	j.lines = append(append(j.lines, line...), '\n')
	if d.Done != nil && d.Done.Any() || time.Since(j.saved) >= quietFor {
		return j.save()
	}
	return nil
}

func (j *StoreJournal) save() error {
	if len(j.lines) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), journalTimeout)
	defer cancel()
	if _, err := j.store.Put(ctx, j.key, bytes.NewReader(j.lines)); err != nil {
		return fmt.Errorf("recording a scaling decision: %w", err)
	}
	j.saved = time.Now()
	return nil
}

// Since returns the newest decisions, at most most, that were made at or after since, oldest first.
func (j *StoreJournal) Since(since time.Time, most int) ([]Decision, error) {
	ctx, cancel := context.WithTimeout(context.Background(), journalTimeout)
	defer cancel()
	now := time.Now().UTC()
	if now.Sub(since) > longestLook {
		since = now.Add(-longestLook)
	}
	since = since.UTC()
	all := []Decision{}
	// From the newest day and blob back, until there are enough.
	for day := now.Truncate(24 * time.Hour); !day.Before(since.Truncate(24*time.Hour)) && len(all) < most; day = day.Add(-24 * time.Hour) {
		keys, err := j.chapters(ctx, day, since)
		if err != nil {
			return nil, err
		}
		for _, key := range slices.Backward(keys) {
			if len(all) >= most {
				break
			}
			if all, err = j.read(ctx, key, since, all); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Decision) int { return a.Seen.Now.Compare(b.Seen.Now) })
	return all[max(0, len(all)-most):], nil
}

// Latest returns the newest decisions of the last day, at most most, oldest first. They may be ten seconds old: each look costs
// requests.
func (j *StoreJournal) Latest(most int) ([]Decision, error) {
	j.looking.Lock()
	defer j.looking.Unlock()
	if time.Since(j.looked) >= quietFor {
		latest, err := j.Since(time.Now().Add(-24*time.Hour), latestMost)
		if err != nil {
			return nil, err
		}
		j.latest, j.looked = latest, time.Now()
	}
	return j.latest[max(0, len(j.latest)-most):], nil
}

// latestMost bounds what Latest remembers.
const latestMost = 200

// chapters lists the blobs of a day that may hold decisions since then.
func (j *StoreJournal) chapters(ctx context.Context, day, since time.Time) ([]string, error) {
	prefix := DecisionsPrefix + day.Format(dayFormat)
	first := ""
	if from := since.Truncate(chapterTime); from.After(day) {
		first = prefix + from.Format(chapterFormat)
	}
	var keys []string
	for info, err := range j.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("reading scaling decisions: %w", err)
		}
		if strings.Compare(info.Key, first) >= 0 {
			keys = append(keys, info.Key)
		}
	}
	return keys, nil
}

// read appends the decisions of one blob that were made since then.
func (j *StoreJournal) read(ctx context.Context, key string, since time.Time, all []Decision) ([]Decision, error) {
	r, err := j.store.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading scaling decisions: %w", err)
	}
	defer r.Close()
	lines := bufio.NewScanner(io.LimitReader(r, 2*chapterBytes))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var d Decision
		if json.Unmarshal(lines.Bytes(), &d) == nil && !d.Seen.Now.Before(since) {
			all = append(all, d)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading scaling decisions: %w", err)
	}
	return all, nil
}
