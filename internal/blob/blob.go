// Package blob keeps bytes under keys: the images that were uploaded and the results that were found.
package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

// ErrNotFound is returned, wrapped, for a key that holds nothing.
var ErrNotFound = errors.New("not found")

// ErrFull is returned, wrapped, when the store takes no more bytes: a full disk, a quota.
var ErrFull = errors.New("no space left in the store")

// Info describes one stored blob.
type Info struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
}

// Store is a seam: a flat map from keys to bytes.
//
// A key is one or more parts joined by "/"; each part is made of letters, digits, ".", "_" and "-", is not
// empty, not "." and not "..", and has at most 200 bytes; a key has at most [MaxKey] bytes. A store refuses
// any other key with an error ([CheckKey], [CheckPrefix]). Callers never use both a key and keys below it, "a"
// and "a/b": a store that keeps files refuses the later one.
//
// Every method may be called from any number of goroutines, and any number of processes may share
// the same store. A write that returned without error survives the loss of power. A write that failed may
// have happened or not; it never leaves part of a blob under the key. Nothing is retried inside a
// store, except what its protocol asks for; the caller retries, and every method can safely be repeated.
type Store interface {
	// Put stores all that r gives under key, in place of what was there, and returns the number of bytes.
	// Where r ends in an error, nothing is stored and that error is returned, wrapped. Memory use does not
	// grow with the size of the blob. When Put has returned, r and the bytes behind it are not read any more.
	Put(ctx context.Context, key string, r io.Reader) (int64, error)

	// Create stores body under key unless the key already holds something. Of any number of concurrent
	// calls for one key, in whatever process, exactly one returns true. False with a nil error means that
	// another's bytes are already there, durable and whole.
	Create(ctx context.Context, key string, body []byte) (bool, error)

	// Open returns the bytes under key; the caller closes them. A key that holds nothing gives
	// [ErrNotFound]. A blob that is replaced or deleted while it is read is read as it was, or ends in an error.
	Open(ctx context.Context, key string) (io.ReadCloser, error)

	// List yields all blobs whose key begins with prefix, in the lexical order of their keys. It sees every write
	// that returned before it began. It ends after the first error, which it yields.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes the keys; one that holds nothing is no error.
	Delete(ctx context.Context, keys ...string) error
}
