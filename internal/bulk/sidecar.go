package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ocelli/ocelli"
)

// Sidecar writes the result of photo.jpg to photo.jpg.json beside it. A file of that name that Ocelli has not written is left alone.
type Sidecar struct {
	Suffix string // ".json"
}

// sidecarBytes bounds what is read of a sidecar: a few labels.
const sidecarBytes = 1 << 20

// Put implements [Output]. The file appears whole or not at all.
func (s Sidecar) Put(_ context.Context, item Item, r ocelli.Result) error {
	if item.Path == "" {
		return ocelli.Errorf(ocelli.BadRequest, "%s is no file of this machine, so nothing can stand beside it", item.Name)
	}
	path := item.Path + s.Suffix
	switch ours, err := s.read(path); {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.ENAMETOOLONG):
		return unkept(path, err)
	case err != nil || ours == nil:
		return ocelli.Errorf(ocelli.Conflict, "%s is there, was not written by Ocelli and is left alone: give another ending, like --sidecar=.ocelli.json", path)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), tempBegin+"*"+tempEnd)
	if err != nil {
		return unkept(path, err)
	}
	_, err = temp.Write(NDJSON{}.Line(r))
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(unkept(path, err), os.Remove(temp.Name()))
	}
	return nil
}

// unkept is the error of a file that could not be written: that of one image where only its name or its folder is at fault.
func unkept(path string, err error) error {
	for _, own := range []error{fs.ErrPermission, fs.ErrNotExist, fs.ErrExist, syscall.ENOTDIR, syscall.ENAMETOOLONG} {
		if errors.Is(err, own) {
			return ocelli.Errorf(ocelli.Unavailable, "%s could not be written: %v", path, err)
		}
	}
	return err
}

// read returns the result in a sidecar, nil where it holds none.
func (s Sidecar) read(path string) (*ocelli.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, sidecarBytes))
	if err != nil {
		return nil, err
	}
	var r struct {
		ocelli.Result
		Timings *ocelli.Timings `json:"timings_ms"` // which no other program writes
	}
	if json.Unmarshal(text, &r) != nil || r.Timings == nil || r.Labels == nil {
		return nil, nil
	}
	return &r.Result, nil
}

// Has reports whether an item has a sidecar that is not older than itself and tells of no passing trouble, and whether it tells that the
// image failed.
func (s Sidecar) Has(item Item) (done, failed bool) {
	image, err := os.Stat(item.Path)
	if err != nil {
		return false, false
	}
	beside, err := os.Stat(item.Path + s.Suffix)
	if err != nil || beside.ModTime().Before(image.ModTime()) {
		return false, false
	}
	r, err := s.read(item.Path + s.Suffix)
	if err != nil || r == nil || r.Error != nil && passing(r.Error.Code) {
		return false, false
	}
	return true, r.Error != nil
}

// Close does nothing: each file is whole already.
func (Sidecar) Close() error { return nil }
