package durable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// recover carries out what the journal of an earlier life of the mount holds, and drops it. In the same life nothing has
// to be done, whoever died: what was written is in its place, if perhaps not on the disk yet, and the logs are still there.
// The caller is the only one who has the tree open, and so who begins or drops logs: what is written meanwhile would be undone.
// The life alone does not tell: a container has a mount of its own, and an old kernel tells none.
//
// All records between two checkpoints are in the logs, and of those that name one file the last one tells its state. So to
// carry them out is right at any time, as often as one likes.
func (j *journal) recover() error {
	names, err := j.logs()
	if err != nil {
		return err
	}
	fromBefore := func(name string) bool {
		f, err := j.root.Open(name)
		if err != nil {
			return true
		}
		defer f.Close()
		h, err := readHeader(f)
		return err != nil || h.life != j.life || j.life == ""
	}
	if !slices.ContainsFunc(names, fromBefore) {
		return nil
	}
	return j.dropLogs(names, func(doubtful bool) error { return j.carryOut(names, doubtful) })
}

// carryOut carries out of each name the last record in the logs. Where it does so anew, nothing that is in its place already is trusted.
func (j *journal) carryOut(names []string, anew bool) error {
	last := map[string]place{}
	for i, name := range names {
		if err := j.index(i, name, last); err != nil {
			return fmt.Errorf("read the journal %s: %w", path.Join(JournalDir, name), err)
		}
	}
	for i, name := range names {
		if err := j.carryOutLog(i, name, last, anew); err != nil {
			return fmt.Errorf("carry out the journal %s: %w", path.Join(JournalDir, name), err)
		}
	}
	return nil
}

// place is where the last record of a name is: the how-manieth record of which log.
type place struct{ log, record int }

// index enters the records of a log in last.
func (j *journal) index(i int, name string, last map[string]place) error {
	n := 0
	return j.read(name, func(r record) {
		last[r.name] = place{i, n}
		n++
	})
}

// carryOutLog carries out the records of a log that are the last of their names.
func (j *journal) carryOutLog(i int, name string, last map[string]place, anew bool) error {
	n := 0
	var errs []error
	err := j.read(name, func(r record) {
		if last[r.name] == (place{i, n}) && check(r.name) == nil && len(errs) == 0 {
			if err := j.tree.redo(r, anew); err != nil {
				errs = append(errs, err)
			}
		}
		n++
	})
	return errors.Join(append(errs, err)...)
}

// read gives yield the records of a log, which is read whole: it is not much larger than logLimit.
func (j *journal) read(name string, yield func(record)) error {
	f, err := j.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	h, err := readHeader(f)
	if errors.Is(err, errNoJournal) {
		return nil // a crash came before its first record
	}
	if err != nil {
		return err
	}
	body, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	records(body[headBytes:], h.mark, yield)
	return nil
}

// redo makes the state of one name what the record says. It does not make it durable.
func (t *Tree) redo(r record, anew bool) error {
	switch r.kind {
	case written:
		if there, err := t.root.ReadFile(r.name); !anew && err == nil && bytes.Equal(there, r.body) {
			return nil
		}
		return t.place(context.Background(), r.name, r.body)
	case removed:
		return t.removeIn(path.Dir(r.name), []string{path.Base(r.name)}, quickly)
	}
	return nil
}
