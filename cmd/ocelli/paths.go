package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ocelli/ocelli/internal/decode"
)

// imagePaths returns the files that the arguments name. A file that is named stands for itself, whatever it is; a folder stands
// for the files below it that begin like an image.
func imagePaths(args []string) ([]string, error) {
	var paths []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no file or folder %s", arg)
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			paths = append(paths, arg)
			continue
		}
		before := len(paths)
		// The separator makes the walk begin in the folder that a link points to.
		err = filepath.WalkDir(arg+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				paths = append(paths, path) // it fails in its turn, with the reason, and the others go on
				return nil
			}
			if isRegular(path, entry) && looksLikeImage(path) {
				paths = append(paths, path)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("looking for images: %w", err)
		}
		if len(paths) == before {
			return nil, fmt.Errorf("there is no image in %s", arg)
		}
	}
	return paths, nil
}

// isRegular reports whether the entry is a file, or a link to one.
func isRegular(path string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func looksLikeImage(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true // it is named, and its error shown, in its turn
	}
	defer f.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(f, head)
	return decode.Sniff(head[:n]) != ""
}
