// Package ortlib finds ONNX Runtime's shared library: one that is named, one that the binary carries, one beside the
// repository or the binary, or one of the system.
package ortlib

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Variable is the environment variable that names the library.
const Variable = "OCELLI_ONNXRUNTIME"

// Find returns the path of the library. explicit, where it is not empty, and the variable OCELLI_ONNXRUNTIME come first and must
// exist; then the library that the binary carries; then .deps/onnxruntime in the folder of the binary or in one above
// it; then where systems keep libraries. The working folder is not looked at: it may hold anybody's files.
func Find(explicit string) (string, error) {
	for _, named := range []struct{ how, path string }{{"the configuration", explicit}, {Variable, os.Getenv(Variable)}} {
		if named.path == "" {
			continue
		}
		if info, err := os.Stat(named.path); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("there is no ONNX Runtime library at %s, which %s names", named.path, named.how)
		}
		return filepath.Abs(named.path)
	}
	if embedded != nil {
		path, err := embedded()
		if err != nil {
			return "", fmt.Errorf("unpack ONNX Runtime: %w", err)
		}
		return path, nil
	}
	for _, path := range places() {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", errors.New("ONNX Runtime's shared library was not found: run `make setup` in the repository, or set " + Variable + " to the path of libonnxruntime.so")
}

// places lists where the library may lie.
func places() []string {
	var all []string
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		all = above(all, filepath.Dir(exe))
	}
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	for _, folder := range []string{"/usr/local/lib", "/opt/onnxruntime/lib", "/usr/lib/" + triplet, "/usr/lib64", "/usr/lib"} {
		for _, name := range names() {
			all = append(all, filepath.Join(folder, name))
		}
	}
	return all
}

// above adds the library's place in .deps of the folder and of each folder above it. A folder that another user could have
// filled, such as /tmp, is left out: what lies there would run as part of this process.
func above(all []string, folder string) []string {
	for {
		if info, err := os.Stat(folder); err == nil && info.Mode().Perm()&0o002 == 0 {
			for _, name := range names() {
				all = append(all, filepath.Join(folder, ".deps", "onnxruntime", name))
			}
		}
		up := filepath.Dir(folder)
		if up == folder {
			return all
		}
		folder = up
	}
}

// names are the file names of the library.
func names() []string {
	if runtime.GOOS == "darwin" {
		return []string{"libonnxruntime.dylib"}
	}
	return []string{"libonnxruntime.so.1", "libonnxruntime.so"}
}
