package access

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/ocelli/ocelli/internal/blob"
)

const (
	usagePrefix   = "usage/"         // usage/<day>/<node>.json: how many images each key sent by way of the node
	usageEvery    = 10 * time.Second // how often a node tells the others, and how much a crash forgets
	usageTime     = 30 * time.Second // for one exchange with the store
	lastUsageTime = 3 * time.Second  // for the last write, for which the end of the process waits
	maxUsageFile  = 16 << 20
)

// exchange writes what this node counted of the day, where that has changed, and reads what the others did.
func (l *limits) exchange(ctx context.Context, blobs blob.Store, node string, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, usageTime)
	defer cancel()
	if err := l.write(ctx, blobs, node, now); err != nil {
		return err
	}
	day := dayOf(now)
	others := map[string]int64{}
	for info, err := range blobs.List(ctx, usagePrefix+day+"/") {
		if err == nil && info.Key != usageKey(day, node) {
			err = addUsage(ctx, blobs, info.Key, others)
		}
		if err != nil {
			return fmt.Errorf("reading what API keys have used: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.day == day {
		l.others = others
	}
	return nil
}

// write keeps what keys have used here, where that is not kept yet.
func (l *limits) write(ctx context.Context, blobs blob.Store, node string, now time.Time) error {
	l.mu.Lock()
	l.turn(now)
	day, own, dirty := l.day, maps.Clone(l.own), l.dirty
	l.dirty = false
	l.mu.Unlock()
	if !dirty {
		return nil
	}
	text, err := json.Marshal(own)
	if err == nil {
		_, err = blobs.Put(ctx, usageKey(day, node), bytes.NewReader(text))
	}
	if err != nil {
		l.mu.Lock()
		l.dirty = true
		l.mu.Unlock()
		return fmt.Errorf("writing down what API keys have used: %w", err)
	}
	return nil
}

// forget removes what was counted on days before yesterday.
func forget(ctx context.Context, blobs blob.Store, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, usageTime)
	defer cancel()
	var old []string
	for info, err := range blobs.List(ctx, usagePrefix) {
		if err != nil {
			return fmt.Errorf("looking for old counts of API keys: %w", err)
		}
		if day, _, _ := strings.Cut(strings.TrimPrefix(info.Key, usagePrefix), "/"); day >= dayOf(now.AddDate(0, 0, -1)) {
			break // they come in the order of their days
		}
		old = append(old, info.Key)
	}
	return blobs.Delete(ctx, old...)
}

func usageKey(day, node string) string { return path.Join(usagePrefix, day, node+".json") }

func addUsage(ctx context.Context, blobs blob.Store, key string, to map[string]int64) error {
	r, err := blobs.Open(ctx, key)
	if err != nil {
		return err
	}
	defer r.Close()
	counts := map[string]int64{}
	if err := json.NewDecoder(io.LimitReader(r, maxUsageFile)).Decode(&counts); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	for id, n := range counts {
		to[id] += n
	}
	return nil
}
