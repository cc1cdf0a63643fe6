// Package fileblob keeps blobs as files in a folder: the key input/01JD/01JD-0001 is the file of that name.
//
// Any number of processes of one machine may use the same folder. The file system has to offer links, flock and
// fsync of folders, as ext4, XFS, btrfs, ZFS and APFS do. On one that does not tell "A" from "a", keys must not differ
// in that alone. Package durable tells which system calls stand behind the promises of [blob.Store].
package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/durable"
)

// Store is a [blob.Store] in a folder.
type Store struct {
	tree *durable.Tree
	dir  string
}

// Open returns the store in dir, which it makes if need be. An error is one sentence that says what to do.
func Open(dir string) (*Store, error) {
	tree, err := durable.Open(dir)
	if err != nil {
		return nil, err
	}
	return &Store{tree, dir}, nil
}

// Close gives back what the store holds open. It must not run beside other calls.
func (s *Store) Close() error { return s.tree.Close() }

// Put implements [blob.Store].
func (s *Store) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	if err := check(ctx, key); err != nil {
		return 0, fmt.Errorf("put: %w", err)
	}
	n, err := s.tree.Put(ctx, key, r)
	if err != nil {
		return 0, s.failed("put "+key, err)
	}
	return n, nil
}

// Create implements [blob.Store].
func (s *Store) Create(ctx context.Context, key string, body []byte) (bool, error) {
	if err := check(ctx, key); err != nil {
		return false, fmt.Errorf("create: %w", err)
	}
	created, err := s.tree.Create(ctx, key, body)
	if err != nil {
		return false, s.failed("create "+key, err)
	}
	return created, nil
}

// Open implements [blob.Store]. A blob that is replaced or deleted while it is read is read as it was.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := check(ctx, key); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	f, err := s.tree.Root().Open(key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, fmt.Errorf("open %s: %w", key, blob.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = blob.ErrNotFound
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	return f, nil
}

// Delete implements [blob.Store]. Folders that become empty are removed.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := check(ctx, key); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	if err := s.tree.Remove(ctx, keys...); err != nil {
		return s.failed("delete", err)
	}
	return nil
}

// check returns why a call for key should not even begin.
func check(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	return ctx.Err()
}

// failed returns the error of an operation that wrote, with what to do where the user can do something.
func (s *Store) failed(op string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%s: %w: free some space on the disk of %s or raise its quota (%w)", op, blob.ErrFull, s.dir, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s: the file system of %s has become read-only; look at its disk (%w)", op, s.dir, err)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EISDIR), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: a key cannot lie below another key in the folder %s (%w)", op, s.dir, err)
	}
	return fmt.Errorf("%s: %w", op, err)
}
