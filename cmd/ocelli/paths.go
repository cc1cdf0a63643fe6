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
		err = filepath.WalkDir(arg, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() && looksLikeImage(path) {
				paths = append(paths, path)
			}
			return err
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
