package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli/internal/durable"
)

const (
	recheck      = time.Second // how long a change of the file may go unnoticed
	maxFileBytes = 32 << 20    // about 100,000 keys
)

// Keys are the API keys of an installation, in a file that anybody may edit by [Edit] meanwhile. Its methods may be called from any
// number of goroutines.
type Keys struct {
	path   string
	master []byte
	log    *slog.Logger

	mu      sync.Mutex
	checked time.Time
	seen    fs.FileInfo // of what was read; nil where there was no file
	byHash  map[string]*Key
	byID    map[string]*Key
}

// Open reads the keys in the file at path; a file that is missing holds none. It makes the secret of the installation beside it, if
// need be: keys.secret beside keys.json.
func Open(path string, log *slog.Logger) (*Keys, error) {
	k := &Keys{path: path, log: log}
	list, info, err := read(path)
	if err != nil {
		return nil, err
	}
	k.index(list, info)
	k.checked = time.Now()
	if k.master, err = openMaster(path); err != nil {
		return nil, err
	}
	return k, nil
}

// Find returns the active key that the text is, and nil where there is none.
func (k *Keys) Find(text string, now time.Time) *Key {
	if !strings.HasPrefix(text, prefix) || len(text) > 200 {
		return nil
	}
	// The time that a look-up takes may tell about the hash, of which nobody can choose even a byte without hashing keys by the
	// billion, and none of that leads to the key.
	sum := sha256.Sum256([]byte(text))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh(now)
	return active(k.byHash[hex.EncodeToString(sum[:])], now)
}

// ByID returns the active key with the id, and nil where there is none.
func (k *Keys) ByID(id string, now time.Time) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refresh(now)
	return active(k.byID[id], now)
}

// SigningSecret returns the secret access key that belongs to an active key's id, for Signature Version 4.
func (k *Keys) SigningSecret(id string) (secret string, ok bool) {
	if k.ByID(id, time.Now()) == nil {
		return "", false
	}
	return signingSecret(k.master, id), true
}

// Any reports whether there is an active key.
func (k *Keys) Any(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.byID {
		if key.Active(now) {
			return true
		}
	}
	return false
}

func active(k *Key, now time.Time) *Key {
	if k == nil || !k.Active(now) {
		return nil
	}
	return k
}

// refresh reads the file again where it has changed. One that cannot be read leaves the keys as they were: whoever edits
// it by hand and errs must not lock everybody out. One that was removed holds no keys.
func (k *Keys) refresh(now time.Time) {
	if since := now.Sub(k.checked); since >= 0 && since < recheck {
		return
	}
	k.checked = now
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		k.index(nil, nil)
		return
	}
	if err == nil && k.seen != nil && os.SameFile(info, k.seen) && info.ModTime().Equal(k.seen.ModTime()) && info.Size() == k.seen.Size() {
		return
	}
	list, info, err := read(k.path)
	if err != nil {
		k.log.Error("the API keys could not be read again; those of before stay valid", "error", err)
		return
	}
	k.index(list, info)
}

func (k *Keys) index(list []Key, info fs.FileInfo) {
	k.seen, k.byHash, k.byID = info, map[string]*Key{}, map[string]*Key{}
	for i := range list {
		k.byHash[list[i].SHA256], k.byID[list[i].ID] = &list[i], &list[i]
	}
}

// keyFile is the form of the file.
type keyFile struct {
	Keys []Key `json:"keys"`
}

// read returns the keys in the file at path, and nothing where there is none.
func read(path string) ([]Key, fs.FileInfo, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the API keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the API keys: %w", err)
	}
	var file keyFile
	if err := json.NewDecoder(io.LimitReader(f, maxFileBytes)).Decode(&file); err != nil {
		return nil, nil, fmt.Errorf("the API keys in %s cannot be read: %w: mend the file, or restore it from a backup", path, err)
	}
	for i := range file.Keys {
		if err := file.Keys[i].Validate(); err != nil {
			return nil, nil, fmt.Errorf("the API key %s in %s is wrong: %w", file.Keys[i].ID, path, err)
		}
	}
	return file.Keys, info, nil
}

// List returns the keys in the file at path.
func List(path string) ([]Key, error) {
	list, _, err := read(path)
	return list, err
}

// Edit changes the keys in the file at path: change gets those that are there and returns those that shall be. Of edits at the same
// time each sees what the one before it left, and a crash leaves the old file or the new one.
func Edit(path string, change func([]Key) ([]Key, error)) error {
	tree, err := durable.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("changing the API keys: %w", err)
	}
	defer tree.Close()
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("changing the API keys: %w", err)
	}
	defer lock.Close() // which also unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("changing the API keys: locking %s: %w", path, err)
	}
	list, _, err := read(path)
	if err != nil {
		return err
	}
	if list, err = change(slices.Clone(list)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(keyFile{list}, "", "  ")
	if err != nil {
		return err
	}
	if _, err := tree.Put(context.Background(), filepath.Base(path), bytes.NewReader(append(text, '\n'))); err != nil {
		return fmt.Errorf("changing the API keys: %w", err)
	}
	return nil
}

// openMaster returns the secret of the installation, which lies beside the keys and is made when it is first asked for.
func openMaster(keysPath string) ([]byte, error) {
	path := strings.TrimSuffix(keysPath, ".json") + ".secret"
	tree, err := durable.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("opening the secret of the API keys: %w", err)
	}
	defer tree.Close()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails
		if _, err := tree.Create(context.Background(), filepath.Base(path), []byte(hex.EncodeToString(secret[:])+"\n")); err != nil {
			return nil, fmt.Errorf("making the secret of the API keys: %w", err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the secret of the API keys: %w", err)
	}
	master, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(master) != 32 {
		return nil, fmt.Errorf("the secret of the API keys in %s is damaged: restore it from a backup, or remove it and give out new secret access keys", path)
	}
	return master, nil
}

// SigningSecretOf returns the secret access key that belongs to the id of a key in the file at path.
func SigningSecretOf(path, id string) (string, error) {
	master, err := openMaster(path)
	if err != nil {
		return "", err
	}
	return signingSecret(master, id), nil
}
