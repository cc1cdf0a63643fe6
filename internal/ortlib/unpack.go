package ortlib

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// maxLibrary is the size in bytes above which an unpacked library is refused.
const maxLibrary = 512 << 20

// unpack writes the library that packed holds, zstd-compressed, to dir/onnxruntime-HASH/libonnxruntime.so.1 unless it is
// there already, and returns its path. sum is the SHA-256 of the library in hexadecimal: a file with another one is replaced, and
// never returned. Any number of processes may do this at once.
func unpack(packed []byte, sum, dir string) (string, error) {
	folder := filepath.Join(dir, "onnxruntime-"+sum[:16])
	path := filepath.Join(folder, "libonnxruntime.so.1")
	if got, err := fileSum(path); err == nil && got == sum {
		return path, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(folder, ".unpack-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	err = errors.Join(decompress(f, packed, sum), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", err
	}
	return path, nil
}

// decompress writes what packed holds and checks it.
func decompress(w io.Writer, packed []byte, sum string) error {
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderMaxMemory(maxLibrary))
	if err != nil {
		return err
	}
	defer d.Close()
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, hash), io.LimitReader(d, maxLibrary)); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("the library that this binary carries is damaged: its SHA-256 is %s, not %s", got, sum)
	}
	return nil
}

// fileSum returns the SHA-256 of a file in hexadecimal.
func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
