package durable

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// JournalDir is the folder at the top of a tree that holds its journal.
const JournalDir = "+journal"

const (
	logLimit  = 32 << 20 // bytes of a log, from which on the next one is begun
	logSuffix = ".log"
)

// journal is where small writes become durable, for all processes that use the tree: a row of numbered logs, of which the
// last is written to. A record is in the journal and flushed before its file is seen, and the file itself is not flushed
// at all: a checkpoint flushes the whole file system now and then and drops the logs that are not needed any more. After
// the loss of power the records are carried out anew, in order (see replay.go).
//
// That takes one flush of one file for any number of writes that come together, where a file of their own takes two for each.
//
// Who writes holds a shared flock(2) on the log, from before its record until its file has its name, so whoever has the
// exclusive lock knows that all records of the log have been carried out.
type journal struct {
	sys    system
	syncfs func(*os.File) error
	tree   *Tree
	root   *os.Root
	dir    *os.File // the same folder
	lock   *os.File // flock: who begins logs or opens the tree; ranges: who writes a name (see keylock.go)
	drops  *os.File // flock: who drops logs; not empty: a flush of the file system was begun, and did not end well (see dropLogs)
	users  *os.File // flock, shared: who has the tree open
	life   string

	mu      sync.Mutex
	current *log // what this process writes to; nil until it writes
	purge   *time.Timer
	closing bool // no purge is begun any more

	beginning sync.Mutex    // like the flock of lock, within the process
	dropper   chan struct{} // has room for one: who drops logs, within the process
	pending   sync.WaitGroup
}

// log is one file of the journal, as open in this process.
type log struct {
	*syncer
	name    string
	mark    [markBytes]byte
	file    *os.File
	users   int                   // of this process; the flock is held while there are any. Guarded by journal.mu
	failed  atomic.Pointer[error] // of a flush
	removal sync.Once             // the first that this process enters
}

// newLog returns a log whose flushes all fail after one has: of the next one the kernel may say that all is well, though that was never written which
// came before the first had ended. So every writer whose record may be lost is told so; other processes are by the kernel, once for each open file.
func newLog(name string, mark [markBytes]byte, file *os.File, sys system) *log {
	l := &log{name: name, mark: mark, file: file}
	l.syncer = newSyncer(func() error {
		if failed := l.failed.Load(); failed != nil {
			return *failed
		}
		err := sys.Sync(file)
		if err != nil {
			l.failed.Store(&err)
		}
		return err
	})
	return l
}

// openJournal returns the journal of the tree, or nil where the file system does not have what it takes.
func openJournal(t *Tree, syncfs func(*os.File) error) (*journal, error) {
	local, err := isLocal(t.folders.top.file)
	if err != nil {
		return nil, err
	}
	if !local {
		// Logs that were left there in another life of the folder must be carried out all the same.
		if _, err := t.root.Lstat(JournalDir); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if err := t.root.Mkdir(JournalDir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := t.folders.top.sync(); err != nil {
		return nil, err
	}
	root, err := t.root.OpenRoot(JournalDir)
	if err != nil {
		return nil, err
	}
	j := &journal{sys: t.sys, syncfs: syncfs, tree: t, root: root, dropper: make(chan struct{}, 1)}
	if err := j.open(); err != nil {
		return nil, errors.Join(err, j.close())
	}
	if !local {
		return nil, j.close()
	}
	return j, nil
}

func (j *journal) open() (err error) {
	if j.dir, err = j.root.Open("."); err != nil {
		return err
	}
	if j.lock, err = j.root.OpenFile("lock", os.O_RDWR|os.O_CREATE, fileMode); err != nil {
		return err
	}
	if j.drops, err = j.root.OpenFile("drops", os.O_RDWR|os.O_CREATE, fileMode); err != nil {
		return err
	}
	if j.users, err = j.root.OpenFile("users", os.O_RDWR|os.O_CREATE, fileMode); err != nil {
		return err
	}
	if j.life, err = lifeOf(j.dir); err != nil {
		return err
	}
	err = j.exclusively(func() error {
		err := flock(j.users, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			err = j.recover()
		} else if errors.Is(err, unix.EWOULDBLOCK) {
			err = nil // somebody has the tree open, so no power was lost since that was recovered
		}
		return errors.Join(err, flock(j.users, unix.LOCK_SH))
	})
	return cmp.Or(err, j.purgeLeft())
}

// enter returns the log to write to. The caller leaves it again when its files have their names.
func (j *journal) enter() (*log, error) {
	for {
		l, fresh, err := j.tryEnter()
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		if fresh {
			return l, nil
		}
		if err := j.begin(l); err != nil {
			return nil, fmt.Errorf("begin a journal: %w", err)
		}
		if l != nil {
			j.pending.Go(j.checkpointNow)
		}
	}
}

// tryEnter enters the last log, and reports false where another has to be begun in place of the one it returns, if any.
func (j *journal) tryEnter() (l *log, fresh bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current == nil {
		if j.current, err = j.last(); err != nil || j.current == nil {
			return nil, false, err
		}
	}
	l = j.current
	if l.users == 0 {
		if err := flock(l.file, unix.LOCK_SH); err != nil {
			return nil, false, err
		}
	}
	l.users++
	info, err := l.file.Stat()
	if err == nil && l.failed.Load() == nil && !isClosed(info) && info.Size() < logLimit && isLinked(info) {
		return l, true, nil
	}
	j.current = nil
	return l, false, errors.Join(err, j.drop(l))
}

// leave ends what enter began.
func (j *journal) leave(l *log) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.drop(l) // closing the file, at the latest, gives the lock back
}

// drop ends one use of l; j.mu is held.
func (j *journal) drop(l *log) error {
	if l.users--; l.users > 0 {
		return nil
	}
	if l == j.current {
		return flock(l.file, unix.LOCK_UN)
	}
	return l.file.Close()
}

// encoded holds records on their way to a log.
var encoded = sync.Pool{New: func() any { return new([]byte) }}

// write adds the records to l and returns when they are durable.
func (j *journal) write(l *log, records ...record) error {
	buffer := encoded.Get().(*[]byte)
	defer encoded.Put(buffer)
	all := (*buffer)[:0]
	for _, r := range records {
		all = r.appendTo(all, l.mark)
	}
	*buffer = all
	// The file was opened for appending, so the records of other writers, in whatever process, are before or after these.
	if _, err := l.file.Write(all); err != nil {
		return err
	}
	return l.sync()
}

// begin makes the next log, unless another has done so in place of old already.
func (j *journal) begin(old *log) error {
	return j.exclusively(func() error {
		names, err := j.logs()
		if err != nil || len(names) == 0 {
			return errors.Join(err, j.create(1))
		}
		name := names[len(names)-1]
		info, err := j.root.Stat(name)
		if err != nil {
			return err
		}
		if !isClosed(info) && (old == nil || old.name != name) {
			return nil // another was faster
		}
		if err := j.closeLog(name); err != nil {
			return err
		}
		return j.create(number(name) + 1)
	})
}

// closedMode is the mode of a log to which nothing is added any more.
const closedMode = 0o400

// closeLog lets everybody know that nothing is added to a log any more. It need not survive the loss of power.
func (j *journal) closeLog(name string) error {
	f, err := j.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chmod(closedMode)
}

func isClosed(info fs.FileInfo) bool { return info.Mode().Perm() == closedMode }

// create makes the log number n, durably; whoever sees it sees it whole.
func (j *journal) create(n int) error {
	const temp = "new"
	if err := j.sys.Unlink(j.dir, temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := j.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(newHeader(j.life))
	if err == nil {
		err = j.sys.Sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := j.sys.Rename(j.dir, temp, j.dir, fmt.Sprintf("%012d%s", n, logSuffix)); err != nil {
		return err
	}
	return j.sys.Sync(j.dir)
}

// last opens the log that is written to, or returns nil where there is none; j.mu is held.
func (j *journal) last() (*log, error) {
	names, err := j.logs()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	name := names[len(names)-1]
	f, err := j.root.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil // dropped or closed just now
	}
	if err != nil {
		return nil, err
	}
	h, err := readHeader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	return newLog(name, h.mark, f, j.sys), nil
}

// logs lists the logs in order.
func (j *journal) logs() ([]string, error) {
	entries, err := fs.ReadDir(j.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if number(e.Name()) > 0 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// number is the number in the name of a log, or 0.
func number(name string) (n int) {
	digits, isLog := strings.CutSuffix(name, logSuffix)
	if !isLog || len(digits) != 12 {
		return 0
	}
	if _, err := fmt.Sscanf(digits, "%d", &n); err != nil {
		return 0
	}
	return n
}

// exclusively runs do while nobody else begins logs or opens the tree.
func (j *journal) exclusively(do func() error) error {
	j.beginning.Lock()
	defer j.beginning.Unlock()
	if err := flock(j.lock, unix.LOCK_EX); err != nil {
		return err
	}
	return errors.Join(do(), flock(j.lock, unix.LOCK_UN))
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	purge := j.purge
	j.closing = true
	j.mu.Unlock()
	if purge != nil && purge.Stop() {
		j.purgeNow()
	}
	j.pending.Wait()
	var err error
	if j.current != nil {
		err = j.current.file.Close()
	}
	for _, f := range []*os.File{j.dir, j.lock, j.drops, j.users} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return errors.Join(err, j.root.Close())
}
