package bulk

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli"
)

// Sorter copies images to places that follow from their labels. It never replaces a file: an image of the same name gets part of the hash of
// its bytes in its name, and one that is there already with the same bytes is left as it is.
type Sorter struct {
	root     *os.Root
	dir      string
	template string // of the path below it
	link     bool
	swept    map[string]bool // folders
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// NewSorter returns a sorter for a template like "sorted/{label}/": a folder, and below it a path in which {label}, {id}, {score} and {parent}
// stand for those of the best label, and {name} and {ext} for the parts of the file's name, which is kept where the template ends in a slash.
// With link, files get a second name in place of a copy where the file system can do that.
func NewSorter(template string, link bool) (*Sorter, error) {
	for _, p := range placeholder.FindAllString(template, -1) {
		if _, known := fill(p, Item{}, ocelli.Result{Labels: []ocelli.Label{{}}}); !known {
			return nil, fmt.Errorf("%s means nothing: write {label}, {id}, {score}, {parent}, {name} or {ext}", p)
		}
	}
	if !strings.Contains(template, "{") {
		return nil, fmt.Errorf("%s says nothing of labels: write a template like %s", template, filepath.Join(template, "{label}")+"/")
	}
	if strings.HasSuffix(template, "/") {
		template += "{name}{ext}"
	}
	dir, below := splitTemplate(template)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the copies cannot be kept: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("the copies cannot be kept: %w", err)
	}
	return &Sorter{root: root, dir: dir, template: below, link: link, swept: map[string]bool{}}, nil
}

// splitTemplate returns the folder that a template names and the rest, in which the first placeholder is.
func splitTemplate(template string) (dir, below string) {
	i := strings.LastIndexByte(template[:strings.IndexByte(template, '{')], '/')
	switch {
	case i < 0:
		return ".", template
	case i == 0:
		return "/", template[1:]
	}
	return template[:i], template[i+1:]
}

// Dir is the folder below which all copies are.
func (s *Sorter) Dir() string { return s.dir }

// fill returns what a placeholder stands for.
func fill(p string, item Item, r ocelli.Result) (value string, known bool) {
	best := r.Labels[0]
	base := filepath.Base(item.Name)
	ext := filepath.Ext(base)
	switch p {
	case "{label}":
		return best.Name, true
	case "{id}":
		return best.ID, true
	case "{score}":
		return fmt.Sprintf("%.2f", best.Score), true
	case "{parent}":
		return strings.Join(best.Parents[:min(1, len(best.Parents))], ""), true
	case "{name}":
		return strings.TrimSuffix(base, ext), true
	case "{ext}":
		return ext, true
	}
	return "", false
}

const (
	maxPart = 255 - 1 - 2*sha256.Size // bytes of one part of a path, with room for a hash
	maxExt  = 16                      // bytes of an ending that is kept where its name is cut off
)

// safe makes a part of a path of something that a stranger chose.
func safe(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(text, "_"))
	return text
}

// fitting cuts the name of a file or folder off, before its ending, where no file system would take it.
func fitting(part string) string {
	if len(part) <= maxPart {
		return part
	}
	ext := filepath.Ext(part)
	if len(ext) > maxExt {
		ext = ""
	}
	return strings.ToValidUTF8(part[:maxPart-len(ext)], "") + ext
}

// place returns where an image belongs, below the folder.
func (s *Sorter) place(item Item, r ocelli.Result) string {
	path := placeholder.ReplaceAllStringFunc(s.template, func(p string) string {
		value, _ := fill(p, item, r)
		return safe(value)
	})
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		switch strings.Trim(part, ". ") {
		case "":
			part = "none" // an empty label, or dots that would lead elsewhere
		}
		parts = append(parts, fitting(part))
	}
	return filepath.Join(parts...)
}

// Put implements [Output]. An image that failed has no place and stays where it is.
func (s *Sorter) Put(ctx context.Context, item Item, r ocelli.Result) error {
	if r.Error != nil || len(r.Labels) == 0 {
		return nil
	}
	path := s.place(item, r)
	err := s.root.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		s.sweep(filepath.Dir(path))
		err = s.copy(ctx, item, path)
	}
	switch {
	case ocelli.AsError(err) != nil:
		return err
	case err != nil:
		return unkept(filepath.Join(s.dir, path), err)
	}
	return nil
}

// copy gives an item the name path, or one like it.
func (s *Sorter) copy(ctx context.Context, item Item, path string) error {
	if s.link && item.Path != "" {
		if done, err := s.linked(item, path); done || err != nil {
			return err
		}
	}
	r, err := item.Open(ctx)
	if err != nil {
		return fault(item, err)
	}
	defer r.Close()
	data, err := ReadAll(r)
	if err != nil {
		return fault(item, err)
	}
	hash := sha256.Sum256(data)
	for _, name := range []string{path, withHash(path, hash[:4]), withHash(path, hash[:])} {
		created, err := s.create(name, data)
		if created || err != nil {
			return err
		}
	}
	return ocelli.Errorf(ocelli.Conflict, "%s could not be copied: %s and names like it are taken", item.Name, filepath.Join(s.dir, path))
}

func withHash(path string, hash []byte) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-" + hex.EncodeToString(hash) + ext
}

// linked gives the file a second name, and reports whether it has one.
func (s *Sorter) linked(item Item, path string) (bool, error) {
	to := filepath.Join(s.dir, path) // nothing in path leads out of dir
	// Of a symbolic link the file gets a name to which it leads: its own path would lead nowhere from there.
	err := unix.Linkat(unix.AT_FDCWD, item.Path, unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW)
	if errors.Is(err, fs.ErrExist) {
		return sameFolder(item.Path, to), nil
	}
	return err == nil, nil // where there can be no link, there is a copy
}

// create makes a file, or finds it made: true where name holds data now. The file appears whole or not at all.
func (s *Sorter) create(name string, data []byte) (bool, error) {
	if old, err := s.root.Open(name); err == nil {
		defer old.Close()
		there, err := io.ReadAll(io.LimitReader(old, int64(len(data))+1))
		return err == nil && bytes.Equal(there, data), nil
	}
	temp := filepath.Join(filepath.Dir(name), tempBegin+rand.Text()+tempEnd)
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return false, err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.root.Link(temp, name)
		if err != nil && !errors.Is(err, fs.ErrExist) && s.root.Rename(temp, name) == nil {
			return true, nil // a file system without links, as on memory cards
		}
	}
	left := s.root.Remove(temp)
	if errors.Is(err, fs.ErrExist) {
		return false, left // somebody has just made one
	}
	return err == nil, errors.Join(err, left)
}

// Files are made under names that nothing else has, this run and others, and get their own when they are whole.
const (
	tempBegin, tempEnd = ".ocelli-", ".tmp"
	// tempAge is how old one must be to have been left by a run that was killed, and not to be of one that works beside this.
	tempAge = time.Hour
	// mostSwept bounds the folders that are remembered.
	mostSwept = 4096
)

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempBegin) && strings.HasSuffix(name, tempEnd)
}

// sweep removes from a folder what killed runs have left there, when this run first comes to it.
func (s *Sorter) sweep(dir string) {
	if s.swept[dir] {
		return
	}
	if len(s.swept) == mostSwept {
		clear(s.swept)
	}
	s.swept[dir] = true
	open, err := s.root.Open(dir)
	if err != nil {
		return
	}
	defer open.Close()
	for err == nil {
		var names []string
		names, err = open.Readdirnames(namesAtOnce)
		for _, name := range names {
			path := filepath.Join(dir, name)
			if !isTemp(name) {
				continue
			}
			if info, err := s.root.Lstat(path); err == nil && time.Since(info.ModTime()) > tempAge {
				_ = s.root.Remove(path) // the next run tries again
			}
		}
	}
}

// Close implements [Output].
func (s *Sorter) Close() error { return s.root.Close() }
