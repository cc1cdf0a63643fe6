package webhook

import (
	"context"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/ocelli/ocelli"
)

// Prefix is under which the store keeps promises.
const Prefix = "webhooks/"

// voidAfter is how old a promise without a job must be to be forgotten: its upload was cut off by a crash.
const voidAfter = 24 * time.Hour

const recordName = "url"

func recordKey(id ocelli.JobID) string { return Prefix + string(id) + "/" + recordName }

func attemptKey(id ocelli.JobID, n int) string { return fmt.Sprintf("%s%s/try-%03d", Prefix, id, n) }

// began is when a job was.
func began(id ocelli.JobID) time.Time {
	parsed, err := ulid.ParseStrict(string(id))
	if err != nil {
		return time.Time{}
	}
	return ulid.Time(parsed.Time())
}

func (s *Sender) readRecord(ctx context.Context, id ocelli.JobID) (url string, err error) {
	const most = 16 << 10
	r, err := s.Blobs.Open(ctx, recordKey(id))
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, most))
	return string(text), err
}

// forget deletes a promise: first what it is, so that nobody takes it up again.
func (s *Sender) forget(ctx context.Context, id ocelli.JobID) error {
	if err := s.Blobs.Delete(ctx, recordKey(id)); err != nil {
		return err
	}
	var keys []string
	for info, err := range s.Blobs.List(ctx, Prefix+string(id)+"/") {
		if err != nil {
			return err
		}
		keys = append(keys, info.Key)
	}
	return s.Blobs.Delete(ctx, keys...)
}

// sweep takes up the promises in the store that this node does not know, and deletes what is left of kept ones.
func (s *Sender) sweep(ctx context.Context) error {
	attempts := map[ocelli.JobID]int{}
	promised := map[ocelli.JobID]bool{}
	for info, err := range s.Blobs.List(ctx, Prefix) {
		if err != nil {
			return err
		}
		id := ocelli.JobID(path.Base(path.Dir(info.Key)))
		if n, ok := strings.CutPrefix(path.Base(info.Key), "try-"); ok {
			attempts[id], _ = strconv.Atoi(n)
		} else {
			promised[id] = true
		}
	}
	for id := range promised {
		s.add(id, attempts[id], time.Now())
	}
	for id := range attempts {
		if !promised[id] && time.Since(began(id)) > voidAfter {
			if err := s.forget(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}
