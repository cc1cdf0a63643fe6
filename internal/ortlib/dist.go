//go:build dist && linux

package ortlib

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The two files are made by `go run ./internal/ortlib/pack LIBRARY` before a build with the tag "dist".
var (
	//go:embed carried/libonnxruntime.zst
	carried []byte
	//go:embed carried/sha256
	carriedSum string
)

// embedded returns the path of the library that the binary carries.
var embedded = sync.OnceValues(carriedLibrary)

// carriedLibrary unpacks into the user's cache folder or, where that cannot be written, into memory.
func carriedLibrary() (string, error) {
	sum := strings.TrimSpace(carriedSum)
	cache, err := os.UserCacheDir()
	if err == nil {
		var path string
		if path, err = unpack(carried, sum, filepath.Join(cache, "ocelli")); err == nil {
			return path, nil
		}
	}
	path, second := toMemory(carried, sum)
	if second != nil {
		return "", errors.Join(err, second)
	}
	return path, nil
}
