// Package durable keeps files so that those it said are kept survive the loss of power, whole.
//
// # Large files
//
// A file comes into being by these system calls, in this order:
//
//	openat(+tmp, O_CREAT|O_EXCL)   a temporary file on the same mount
//	write, fsync(file)             its bytes are on the disk before it has a name that anybody reads
//	mkdirat, fsync(parent)         for each folder on the way to the name
//	renameat or linkat             the name: all at once, replacing (Put) or failing with EEXIST (Create)
//	fsync(folder)                  the name is on the disk too; only now is the write reported as done
//
// Leaving out the first fsync gives files that are empty or cut short after a crash, and leaving out the last
// gives files that are gone: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
//
// # Small files
//
// Flushing is what a write costs, and two flushes for each small file are far more than its bytes. So files of at most
// smallLimit, and removals, are entered in a journal first, which is flushed once for all that come at the same time; then the
// file is written without any flush. Its bytes are twice on the disk for a while, and once the loss of power is
// over, the journal is carried out anew (see journal, and Gray and Reuter, "Transaction Processing", 1993, chapter 9). On a
// file system of the network, which other machines may write to, there is no journal and all files are large.
//
// After an fsync that failed, Linux may report the next one as good (https://lwn.net/Articles/752063/). Files are safe
// from that, since a file whose fsync failed is thrown away, nothing more is reported as kept in a log whose fsync failed, and what
// a flush of the whole file system did not get onto the disk is written anew from the journal. A folder is metadata, and where that
// cannot be written ext4, XFS and btrfs stop taking writes at all.
package durable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	folderMode = 0o700
	fileMode   = 0o600
)

// Tree is a folder with files and folders below it. Any number of goroutines and processes may use the same one.
// Names are relative to it and slash-separated ([fs.ValidPath]); none reaches outside, not even through a symbolic
// link.
type Tree struct {
	root    *os.Root
	sys     system
	folders *folders
	temp    *temp
	journal *journal // nil where the file system is not fit for one
	names   nameLocks
}

// Open returns the tree at dir, which it makes if need be, and removes temporary files that dead processes left in
// it. An error is one sentence that says what to do.
func Open(dir string) (*Tree, error) {
	t, err := open(dir, kernel{}, syncFileSystem)
	if err != nil {
		return nil, fmt.Errorf("the folder %s cannot be used: %s (%w)", dir, advice(err), err)
	}
	return t, nil
}

// open returns a tree that has no journal where syncfs is nil.
func open(dir string, sys system, syncfs func(*os.File) error) (*Tree, error) {
	if err := makeRoot(dir); err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, cmp.Or(err, error(unix.ENOTDIR))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	top, err := root.Open(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	t := &Tree{root: root, sys: sys, folders: newFolders(sys, top)}
	if t.temp, err = openTemp(root); err != nil {
		return nil, errors.Join(err, top.Close(), root.Close())
	}
	if syncfs == nil {
		return t, nil
	}
	if t.journal, err = openJournal(t, syncfs); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if t.journal != nil {
		t.names.file = t.journal.lock
	}
	return t, nil
}

// makeRoot makes dir and the folders above it that are missing, and makes that durable.
func makeRoot(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	err = os.Mkdir(dir, folderMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeRoot(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, folderMode)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also where it was there already: whoever made it may not have come to this point yet.
	parent, err := os.Open(filepath.Dir(dir))
	if errors.Is(err, fs.ErrPermission) {
		return nil // then it is not this process that makes folders there
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	return parent.Sync()
}

// advice says what to do about an error of the operating system that concerns a whole tree.
func advice(err error) string {
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrExist):
		return "it is a file, or lies below one; name a folder"
	case errors.Is(err, fs.ErrPermission):
		return "this user may not write there; change its owner or name another folder"
	case errors.Is(err, unix.EROFS):
		return "its file system is read-only; mount it for writing or name another folder"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "its disk or quota is full; free some space or name another folder"
	default:
		return "look at its file system or name another folder"
	}
}

// Close gives back what the tree holds open. It must not run beside other calls.
func (t *Tree) Close() error {
	return errors.Join(t.journal.close(), t.temp.close(), t.folders.close(), t.root.Close())
}

// Root returns the tree for reading. It is closed with the tree.
func (t *Tree) Root() *os.Root { return t.root }

// Put writes all that r gives to the file name, in place of what was there, and returns the number of bytes. A
// reader sees the old file or the new one. Where r ends in an error, nothing changes and that error is returned,
// wrapped.
func (t *Tree) Put(ctx context.Context, name string, r io.Reader) (int64, error) {
	if err := check(name); err != nil {
		return 0, err
	}
	if t.journal == nil {
		return t.putLarge(ctx, name, r)
	}
	if inMemory, ok := r.(*bytes.Reader); ok && inMemory.Len() <= smallLimit {
		return t.putSmall(ctx, name, bytesOf(inMemory))
	}
	buffer := smallBuffers.Get().(*[smallLimit + 1]byte)
	defer smallBuffers.Put(buffer)
	n, err := io.ReadFull(&source{ctx, r}, buffer[:])
	switch err {
	case nil:
		return t.putLarge(ctx, name, io.MultiReader(bytes.NewReader(buffer[:]), r))
	case io.EOF, io.ErrUnexpectedEOF:
	default:
		return 0, err
	}
	return t.putSmall(ctx, name, buffer[:n])
}

// Create writes body to the file name unless there is one. Of any number of concurrent calls, in whatever
// process, exactly one returns true; the others return when the file of that one is durable.
func (t *Tree) Create(ctx context.Context, name string, body []byte) (bool, error) {
	if err := check(name); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if t.journal == nil || len(body) > smallLimit {
		return t.createLarge(ctx, name, body)
	}
	return t.createSmall(ctx, name, body)
}

func (t *Tree) putLarge(ctx context.Context, name string, r io.Reader) (n int64, err error) {
	temp, err := t.write(func(f *os.File) (err error) {
		if n, err = copyAll(ctx, f, r); err != nil {
			return err
		}
		return t.sys.Sync(f)
	})
	if err != nil {
		return 0, err
	}
	err = t.settle(name, func() error {
		return t.enter(ctx, name, durably, func(in *os.File, base string) error {
			return t.sys.Rename(t.temp.dir, temp, in, base)
		})
	})
	if err != nil {
		t.sys.Unlink(t.temp.dir, temp) // fails where the error came after the rename
		return 0, err
	}
	return n, nil
}

func (t *Tree) createLarge(ctx context.Context, name string, body []byte) (created bool, err error) {
	temp, err := t.write(func(f *os.File) error {
		if _, err := f.Write(body); err != nil {
			return err
		}
		return t.sys.Sync(f)
	})
	if err != nil {
		return false, err
	}
	defer t.sys.Unlink(t.temp.dir, temp) // what stays because this failed is swept by a later Open
	err = t.settle(name, func() error {
		return t.enter(ctx, name, durably, func(in *os.File, base string) error {
			err := t.sys.Link(t.temp.dir, temp, in, base)
			created = err == nil
			if errors.Is(err, fs.ErrExist) {
				return isFile(in, base)
			}
			return err
		})
	})
	return created && err == nil, err
}

// settle gives a file that was made durable by itself its name, by give, and enters that in the journal, so that it is not undone by
// an older record.
func (t *Tree) settle(name string, give func() error) error {
	if t.journal == nil {
		return give()
	}
	return t.journaled(nil, []string{name}, func(l *log) error {
		if err := give(); err != nil {
			return err
		}
		return t.journal.write(l, record{kind: elsewhere, name: name})
	})
}

// isFile returns nil when base is a file in the folder.
func isFile(in *os.File, base string) error {
	var stat unix.Stat_t
	err := uninterrupted("fstatat", func() error {
		return unix.Fstatat(int(in.Fd()), base, &stat, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s is not a file: %w", base, fs.ErrExist)
	}
	return err
}

// check returns an error unless name can be the name of a file.
func check(name string) error {
	if first, _, _ := strings.Cut(name, "/"); !fs.ValidPath(name) || name == "." || first == TempDir || first == JournalDir {
		return fmt.Errorf("%q cannot be the name of a file: %w", name, fs.ErrInvalid)
	}
	return nil
}

// write makes a temporary file that fill has filled, and returns its name.
func (t *Tree) write(fill func(*os.File) error) (name string, err error) {
	f, name, err := t.temp.create()
	if err != nil {
		return "", err
	}
	err = fill(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		t.sys.Unlink(t.temp.dir, name)
		return "", err
	}
	return name, nil
}

// buffers hold what is on its way from a reader to a file. Most images fit in one, and so are written by one call.
var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// copyAll copies r to f, until ctx ends.
func copyAll(ctx context.Context, f *os.File, r io.Reader) (int64, error) {
	buffer := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buffer)
	// Of the file only its Write is shown, since its ReadFrom would use a buffer of its own.
	return io.CopyBuffer(struct{ io.Writer }{f}, &source{ctx, r}, buffer[:])
}

// source reads r until ctx ends.
type source struct {
	ctx context.Context
	r   io.Reader
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}

// maxTries bounds how often a write follows a folder that is removed while it writes. Each try takes another removal,
// at just that moment.
const maxTries = 100

// manner is whether a name survives the loss of power when the call returns that makes it.
type manner int

const (
	quickly manner = iota
	durably
)

// enter lets give make a name in the folder of the file name, and makes that name durable where it is told to. Where the
// folder was removed in between, because it was empty, that is repeated with a new folder of that name.
func (t *Tree) enter(ctx context.Context, name string, how manner, give func(in *os.File, base string) error) error {
	dir, base := path.Split(name)
	var err error
	for range maxTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		var in *folder
		if in, err = t.folders.acquire(path.Clean(dir)); err == nil {
			if how == durably {
				err = t.folders.keepNames(in)
			}
			if err == nil {
				err = give(in.file, base)
			}
			if isGone(err) {
				t.folders.forget(in)
			} else if err == nil && how == durably {
				err = in.sync()
			}
			t.folders.release(in)
		}
		if !isGone(err) {
			return err
		}
	}
	return fmt.Errorf("the folder vanished %d times: %w", maxTries, err)
}
