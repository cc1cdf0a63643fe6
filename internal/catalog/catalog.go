// Package catalog knows public models: where each is fetched from, how large it is, what its SHA-256 must be, and the card
// that it is run with.
package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ocelli/ocelli/internal/classify"
)

// Entry is one public model.
type Entry struct {
	Name    string        `json:"name"`
	URL     string        `json:"url"`
	Size    int64         `json:"size"`   // bytes
	SHA256  string        `json:"sha256"` // hexadecimal
	License string        `json:"license"`
	Card    classify.Card `json:"card"`
}

// Catalog is a list of public models.
type Catalog struct {
	Models []Entry `json:"models"`
}

// maxModel is the size in bytes above which no model is pulled.
const maxModel = 4 << 30

var (
	validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,79}$`)
	validSum  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Load reads catalog.json. Names become file names and sizes bound downloads, so everything is checked.
func Load(files fs.FS) (*Catalog, error) {
	data, err := fs.ReadFile(files, "catalog.json")
	if err != nil {
		return nil, fmt.Errorf("read the catalog of models: %w", err)
	}
	var c Catalog
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("read the catalog of models: %w", err)
	}
	seen := map[string]bool{}
	var errs []error
	for i := range c.Models {
		e := &c.Models[i]
		err := e.check()
		if seen[e.Name] {
			err = errors.New("its name is taken")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the catalog of models: %q: %w", e.Name, err))
		}
		seen[e.Name] = true
		e.Card.Name, e.Card.SHA256, e.Card.License = e.Name, e.SHA256, e.License
	}
	return &c, errors.Join(errs...)
}

func (e *Entry) check() error {
	u, err := url.Parse(e.URL)
	switch {
	case !validName.MatchString(e.Name):
		return errors.New("the name is not possible")
	case err != nil || (u.Scheme != "https" && u.Scheme != "http") || path.Base(u.Path) == "/":
		return fmt.Errorf("the URL %q is not possible", e.URL)
	case e.Size < 1 || e.Size > maxModel:
		return fmt.Errorf("the size %d is not possible", e.Size)
	case !validSum.MatchString(e.SHA256):
		return fmt.Errorf("the SHA-256 %q is not possible", e.SHA256)
	case e.License == "":
		return errors.New("it has no licence")
	}
	// The card is read once more by the rules for cards, which decoding it as a part of the catalog does not apply.
	card, err := json.Marshal(e.Card)
	if err != nil {
		return err
	}
	_, err = classify.ParseCard(card)
	return err
}

// Find returns the model of that name.
func (c *Catalog) Find(name string) (*Entry, error) {
	var all []string
	for i := range c.Models {
		if c.Models[i].Name == name {
			return &c.Models[i], nil
		}
		all = append(all, c.Models[i].Name)
	}
	return nil, fmt.Errorf("no model is named %q in the catalog: there are %s", name, strings.Join(all, ", "))
}

// BySHA256 returns the model whose file has that sum, or nil.
func (c *Catalog) BySHA256(sum string) *Entry {
	for i := range c.Models {
		if c.Models[i].SHA256 == sum {
			return &c.Models[i]
		}
	}
	return nil
}

// Path returns where the model lies in dir once it has been pulled; its card lies beside it.
func (e *Entry) Path(dir string) string { return filepath.Join(dir, e.Name+".onnx") }

// ErrNotPulled is returned, wrapped, for a model that is not there.
var ErrNotPulled = errors.New("it has not been pulled")

// Verify reads the whole file of the pulled model in dir and compares its size and SHA-256.
func (e *Entry) Verify(dir string) error {
	sum, size, err := Sum(e.Path(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("model %s: %w: run `ocelli models pull %s`", e.Name, ErrNotPulled, e.Name)
	case err != nil:
		return fmt.Errorf("model %s: %w", e.Name, err)
	case size != e.Size || sum != e.SHA256:
		return fmt.Errorf("model %s: %s is damaged: it has %d bytes and the SHA-256 %s, not %d and %s; delete it and pull it again", e.Name, e.Path(dir), size, sum, e.Size, e.SHA256)
	}
	return nil
}

// Sum returns the SHA-256 of a file in hexadecimal, and its size in bytes.
func Sum(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), size, err
}
