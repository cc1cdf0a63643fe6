package blob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"
)

// Mem is a [Store] in the memory of this process, for tests and for programs that keep nothing. The zero
// value is an empty store without a limit.
type Mem struct {
	// Limit is the greatest sum of the sizes of all blobs, in bytes; over it, writes end in [ErrFull].
	// Zero means no limit.
	Limit int64

	mu    sync.Mutex
	blobs map[string]memBlob
	below map[string]int // how many blobs lie in a folder and its subfolders
	used  int64          // the sum of the sizes, in bytes
}

type memBlob struct {
	body     []byte // never changed
	modified time.Time
}

// Put implements [Store].
func (m *Mem) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := check(ctx, key); err != nil {
		return 0, fmt.Errorf("put: %w", err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return 0, fmt.Errorf("put %s: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.set(key, body); err != nil {
		return 0, fmt.Errorf("put %s: %w", key, err)
	}
	return int64(len(body)), nil
}

// Create implements [Store].
func (m *Mem) Create(ctx context.Context, key string, body []byte) (bool, error) {
	if err := check(ctx, key); err != nil {
		return false, fmt.Errorf("create: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.blobs[key]; ok {
		return false, nil
	}
	if err := m.set(key, bytes.Clone(body)); err != nil {
		return false, fmt.Errorf("create %s: %w", key, err)
	}
	return true, nil
}

// set stores body under key. The caller holds m.mu.
func (m *Mem) set(key string, body []byte) error {
	if m.below[key] > 0 {
		return fmt.Errorf("there are keys below %s/, so it cannot be a key itself", key)
	}
	for folder := range folders(key) {
		if _, ok := m.blobs[folder]; ok {
			return fmt.Errorf("%s is a key, so there can be none below it", folder)
		}
	}
	old, replaced := m.blobs[key]
	used := m.used - int64(len(old.body)) + int64(len(body))
	if m.Limit > 0 && used > m.Limit {
		return fmt.Errorf("%w: its limit is %d bytes", ErrFull, m.Limit)
	}
	if m.blobs == nil {
		m.blobs, m.below = map[string]memBlob{}, map[string]int{}
	}
	m.blobs[key], m.used = memBlob{body, time.Now()}, used
	if !replaced {
		for folder := range folders(key) {
			m.below[folder]++
		}
	}
	return nil
}

// Open implements [Store].
func (m *Mem) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := check(ctx, key); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[key]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", key, ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(b.body)), nil
}

// List implements [Store].
func (m *Mem) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := CheckPrefix(prefix); err != nil {
			yield(Info{}, fmt.Errorf("list: %w", err))
			return
		}
		for _, info := range m.snapshot(prefix) {
			if err := ctx.Err(); err != nil {
				yield(Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			if !yield(info, nil) {
				return
			}
		}
	}
}

// snapshot returns what begins with prefix, in order.
func (m *Mem) snapshot(prefix string) []Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	var infos []Info
	for key, b := range m.blobs {
		if strings.HasPrefix(key, prefix) {
			infos = append(infos, Info{Key: key, Size: int64(len(b.body)), Modified: b.modified})
		}
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return infos
}

// Delete implements [Store].
func (m *Mem) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := check(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		b, ok := m.blobs[key]
		if !ok {
			continue
		}
		delete(m.blobs, key)
		m.used -= int64(len(b.body))
		for folder := range folders(key) {
			if m.below[folder]--; m.below[folder] == 0 {
				delete(m.below, folder)
			}
		}
	}
	return nil
}

// check returns why a call for key should not even begin.
func check(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}

// folders yields the folders that key lies in: "a" and "a/b" for "a/b/c".
func folders(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range len(key) {
			if key[i] == '/' && !yield(key[:i]) {
				return
			}
		}
	}
}
