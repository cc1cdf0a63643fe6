// Command pack compresses ONNX Runtime's shared library into internal/ortlib/carried, where a build with the tag "dist"
// picks it up. It is run in the root of the repository.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/ortlib/pack LIBRARY")
		os.Exit(2)
	}
	if err := pack(os.Args[1], filepath.Join("internal", "ortlib", "carried")); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack writes libonnxruntime.zst and sha256 into folder.
func pack(library, folder string) error {
	in, err := os.Open(library)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(folder, "libonnxruntime.zst"))
	if err != nil {
		return err
	}
	hash := sha256.New()
	if err := errors.Join(compress(out, io.TeeReader(in, hash)), out.Close()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "sha256"), []byte(hex.EncodeToString(hash.Sum(nil))+"\n"), 0o644)
}

func compress(w io.Writer, r io.Reader) error {
	e, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	_, err = io.Copy(e, r)
	return errors.Join(err, e.Close())
}
