package ortlib

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func packed(t *testing.T, content string) (data []byte, sum string) {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	hash := sha256.Sum256([]byte(content))
	return e.EncodeAll([]byte(content), nil), hex.EncodeToString(hash[:])
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUnpackByManyAtOnceGivesOneWholeFile(t *testing.T) {
	data, sum := packed(t, strings.Repeat("library ", 10000))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := unpack(data, sum, dir)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := fileSum(path); err != nil || got != sum {
				t.Errorf("%s has the SHA-256 %s, %v", path, got, err)
			}
		})
	}
	wg.Wait()
	left, _ := filepath.Glob(filepath.Join(dir, "*", ".unpack-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestUnpackReplacesAFileThatWasTamperedWith(t *testing.T) {
	data, sum := packed(t, "library")
	dir := t.TempDir()
	path, err := unpack(data, sum, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err = unpack(data, sum, dir); err != nil || read(t, path) != "library" {
		t.Errorf("unpack: %q, %v", read(t, path), err)
	}
}

func TestUnpackRefusesDamage(t *testing.T) {
	data, _ := packed(t, "library")
	_, other := packed(t, "another")
	if path, err := unpack(data, other, t.TempDir()); err == nil {
		t.Errorf("unpack gave %s for a library with another SHA-256", path)
	}
	if path, err := unpack(data[:5], other, t.TempDir()); err == nil {
		t.Errorf("unpack gave %s for half a library", path)
	}
}

func TestToMemoryNeedsNoFolder(t *testing.T) {
	data, sum := packed(t, "library")
	path, err := toMemory(data, sum)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "library" {
		t.Errorf("%s holds %q", path, got)
	}
}

func TestFindTellsOfANamedLibraryThatIsNotThere(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.so")
	t.Setenv(Variable, missing)
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), Variable) {
		t.Errorf("Find: %v, want it to name %s and %s", err, missing, Variable)
	}
}

func TestFindPrefersWhatIsNamed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.so")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Variable, filepath.Join(dir, "other.so"))
	if got, err := Find(path); err != nil || got != path {
		t.Errorf("Find(%s) = %s, %v", path, got, err)
	}
}

func TestFindDoesNotTakeALibraryOutOfTheWorkingFolder(t *testing.T) {
	if embedded != nil {
		t.Skip("this binary carries the library, so no place is looked at")
	}
	t.Setenv(Variable, "")
	dir := t.TempDir()
	planted := filepath.Join(dir, ".deps", "onnxruntime", "libonnxruntime.so.1")
	if err := os.MkdirAll(filepath.Dir(planted), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(planted, []byte("anybody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if found, err := Find(""); err == nil && strings.HasPrefix(found, dir) {
		t.Errorf("Find took %s", found)
	}
}
