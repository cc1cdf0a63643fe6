package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Puller fetches models.
type Puller struct {
	Client *http.Client // of http.DefaultTransport, which honours the proxies of the environment, where nil
	// Source, where it is not empty, is fetched from instead of the model's own URL: the URL of a folder with files under the same
	// names (a mirror), a local folder, or a local file.
	Source   string
	Progress func(done, total int64) // bytes; called often, from the goroutine of Pull; may be nil
	// Idle is how long a connection may be silent before it is given up, and Pause how long the first wait is before it is
	// tried again. 30 s and 1 s where they are 0.
	Idle, Pause time.Duration
}

// Pull fetches the model into dir unless it is there, and returns its path. A transfer that broke off, in this call or an
// earlier one, is resumed. Only a file of the right size and SHA-256 ever has the model's name; of any other one nothing is
// kept. Of two pulls of one model at once, one is refused.
func (p *Puller) Pull(ctx context.Context, e *Entry, dir string) (string, error) {
	if err := e.Verify(dir); err == nil {
		return e.Path(dir), nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("pull %s: %w", e.Name, err)
	}
	part, err := os.OpenFile(filepath.Join(dir, "."+e.Name+".part"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", e.Name, err)
	}
	defer part.Close()
	if err := unix.Flock(int(part.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", fmt.Errorf("pull %s: another process is pulling it into %s: wait for that one", e.Name, dir)
	}
	if err := p.fetch(ctx, e, part); err != nil {
		if info, statErr := part.Stat(); statErr == nil && info.Size() == 0 {
			err = errors.Join(err, os.Remove(part.Name()))
		}
		return "", fmt.Errorf("pull %s: %w", e.Name, err)
	}
	if err := keep(e, part, dir); err != nil {
		return "", fmt.Errorf("pull %s: %w", e.Name, err)
	}
	return e.Path(dir), nil
}

// attempts is how often in a row a transfer may fail without coming further than any before.
const attempts = 5

// fetch fills part. What several transfers brought may be of two files: where that is not the model, all of it is fetched once more.
func (p *Puller) fetch(ctx context.Context, e *Entry, part *os.File) error {
	src, err := p.source(e)
	if err != nil {
		return err
	}
	done, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if done > e.Size {
		done = 0
	}
	pieced, err := p.fill(ctx, src, e, part, done)
	if err == nil && pieced && check(e, part) != nil {
		_, err = p.fill(ctx, src, e, part, 0)
	}
	return err
}

// fill fills part, which holds done bytes, and tells whether more than one transfer did.
func (p *Puller) fill(ctx context.Context, src source, e *Entry, part *os.File, done int64) (pieced bool, err error) {
	first := cmp.Or(p.Pause, time.Second)
	pause := first
	pieced = done > 0
	furthest := int64(0) // a server that does not do parts begins anew each time, and may never come to the end
	for failed := 0; done < e.Size; {
		pieced = done > 0
		done, err = p.transfer(ctx, src, e, part, done)
		var final *finalError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return pieced, fmt.Errorf("stopped after %d of %d bytes, to be resumed by the next pull: %w", done, e.Size, ctx.Err())
		case errors.As(err, &final):
			return pieced, err
		case done > furthest:
			furthest, failed, pause = done, 0, first
		default:
			failed++
		}
		if failed == attempts {
			return pieced, fmt.Errorf("gave up after %d of %d bytes, to be resumed by the next pull: %w", done, e.Size, err)
		}
		if err != nil {
			if !wait(ctx, pause) {
				continue // the next transfer reports the end of ctx
			}
			pause = min(2*pause, 30*time.Second)
		}
	}
	return pieced, nil
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// transfer appends to part, which holds done bytes, and returns how many it holds then.
func (p *Puller) transfer(ctx context.Context, src source, e *Entry, part *os.File, done int64) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := cmp.Or(p.Idle, 30*time.Second)
	alive := time.AfterFunc(idle, func() { cancel(errSilent) })
	defer alive.Stop()
	body, start, err := src(ctx, done)
	if err != nil {
		return done, cmp.Or(silence(ctx), err)
	}
	defer body.Close()
	if err := part.Truncate(start); err != nil {
		return done, err
	}
	out := &progressWriter{w: io.NewOffsetWriter(part, start), done: start, total: e.Size, tell: p.Progress, beat: func() { alive.Reset(idle) }}
	// One byte more than there should be is enough to know a source that lies.
	_, err = io.Copy(out, io.LimitReader(body, e.Size-start+1))
	switch {
	case out.done > e.Size:
		return 0, errors.Join(&finalError{fmt.Errorf("the source sends more than the %d bytes of the model: refused, and nothing was kept", e.Size)}, os.Remove(part.Name()))
	case silence(ctx) != nil:
		return out.done, errSilent
	case err == nil && out.done < e.Size:
		return out.done, fmt.Errorf("the source ended after %d of %d bytes", out.done, e.Size)
	}
	return out.done, err
}

var errSilent = errors.New("the source fell silent")

// silence returns errSilent where that is why ctx ended.
func silence(ctx context.Context) error {
	if context.Cause(ctx) == errSilent {
		return errSilent
	}
	return nil
}

// finalError is not worth another attempt.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

type progressWriter struct {
	w           io.Writer
	done, total int64
	tell        func(done, total int64)
	beat        func() // called for every write
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.done += int64(n)
	p.beat()
	if p.tell != nil {
		p.tell(min(p.done, p.total), p.total)
	}
	return n, err
}

// check tells whether what was fetched is the model.
func check(e *Entry, part *os.File) error {
	sum, size, err := Sum(part.Name())
	if err == nil && (sum != e.SHA256 || size != e.Size) {
		err = fmt.Errorf("what came has the SHA-256 %s, not %s: refused, and nothing was kept", sum, e.SHA256)
	}
	return err
}

// keep checks what was fetched and gives it its name, with the card beside it.
func keep(e *Entry, part *os.File, dir string) error {
	if err := check(e, part); err != nil {
		return errors.Join(err, os.Remove(part.Name()))
	}
	card, err := json.MarshalIndent(e.Card, "", "  ")
	if err != nil {
		return err
	}
	temp := filepath.Join(dir, "."+e.Name+".card")
	if err := os.WriteFile(temp, append(card, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, e.Name+".json")); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	return os.Rename(part.Name(), e.Path(dir))
}
