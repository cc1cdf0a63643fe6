package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"github.com/ocelli/ocelli/internal/blob"
)

// ErrFault is what a call that [Faulty] broke returns, wrapped.
var ErrFault = errors.New("injected fault")

// Fault says what becomes of one call. Faults come in a pair, because a store that is not in the same process
// fails in these two ways and the caller cannot tell them apart.
type Fault int

const (
	None   Fault = iota // the call goes through
	Failed              // the call failed and did not happen
	Lost                // the call happened and its answer was lost: it failed for the caller
)

// Op names a method of [blob.Store].
type Op string

// The methods that a [Call] can be of.
const (
	Put    Op = "put"
	Create Op = "create"
	Open   Op = "open"
	List   Op = "list"
	Delete Op = "delete"
)

// Call is one call of a [Faulty] store.
type Call struct {
	N   int // counts the calls of the store from 1, in the order in which they began
	Op  Op
	Key string // the key, the prefix for List, the first key for Delete
}

// Faulty is a [blob.Store] that breaks the calls that Plan picks. To try a program with every possible single
// fault, run it once to learn [Faulty.Calls], and then once for each N and each of [Failed] and [Lost].
type Faulty struct {
	Store blob.Store
	// Plan returns what becomes of a call. It may be called from several goroutines at once.
	Plan func(Call) Fault

	calls atomic.Int64
}

// Calls returns how many calls there were.
func (f *Faulty) Calls() int { return int(f.calls.Load()) }

// next counts a call and returns what becomes of it, with the error for its caller.
func (f *Faulty) next(op Op, key string) (Fault, error) {
	n := int(f.calls.Add(1))
	fault := f.Plan(Call{N: n, Op: op, Key: key})
	if fault == None {
		return None, nil
	}
	return fault, fmt.Errorf("%s %s, call %d: %w", op, key, n, ErrFault)
}

// Put implements [blob.Store]. Where it [Failed], r is not read.
func (f *Faulty) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	fault, broken := f.next(Put, key)
	if fault == Failed {
		return 0, broken
	}
	n, err := f.Store.Put(ctx, key, r)
	if fault == Lost {
		return 0, errors.Join(broken, err)
	}
	return n, err
}

// Create implements [blob.Store].
func (f *Faulty) Create(ctx context.Context, key string, body []byte) (bool, error) {
	fault, broken := f.next(Create, key)
	if fault == Failed {
		return false, broken
	}
	created, err := f.Store.Create(ctx, key, body)
	if fault == Lost {
		return false, errors.Join(broken, err)
	}
	return created, err
}

// Open implements [blob.Store]. Where it is [Lost], the fault shows while the bytes are read: after the first half.
func (f *Faulty) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	fault, broken := f.next(Open, key)
	if fault == Failed {
		return nil, broken
	}
	r, err := f.Store.Open(ctx, key)
	if err != nil || fault == None {
		return r, err
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, errors.Join(broken, err)
	}
	return io.NopCloser(&cutReader{body[:len(body)/2], broken}), nil
}

// cutReader gives rest and then err.
type cutReader struct {
	rest []byte
	err  error
}

func (c *cutReader) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, c.err
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// List implements [blob.Store]. Where it is [Lost], the fault comes in place of what should follow the first blob.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		fault, broken := f.next(List, prefix)
		if fault == Failed {
			yield(blob.Info{}, broken)
			return
		}
		for info, err := range f.Store.List(ctx, prefix) {
			if !yield(info, err) {
				return
			}
			if fault == Lost {
				break
			}
		}
		if fault == Lost {
			yield(blob.Info{}, broken)
		}
	}
}

// Delete implements [blob.Store].
func (f *Faulty) Delete(ctx context.Context, keys ...string) error {
	first := ""
	if len(keys) > 0 {
		first = keys[0]
	}
	fault, broken := f.next(Delete, first)
	if fault == Failed {
		return broken
	}
	err := f.Store.Delete(ctx, keys...)
	if fault == Lost {
		return errors.Join(broken, err)
	}
	return err
}
