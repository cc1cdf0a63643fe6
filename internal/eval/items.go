package eval

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxItems bounds what is read into memory: a hundred times ImageNet's validation set.
const maxItems = 5_000_000

// Items reads what path names: a folder with a folder for each class, named after it, or a CSV file with a file and a
// label in each line, files relative to the folder of the CSV. A folder without folders that holds one CSV file stands for that.
func Items(path string) ([]Item, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("evaluate on %s: %w", path, errors.Unwrap(err))
	}
	var items []Item
	if !info.IsDir() {
		items, err = readCSV(path)
	} else if items, err = readFolders(path); err == nil && len(items) == 0 {
		if tables, _ := filepath.Glob(filepath.Join(path, "*.csv")); len(tables) == 1 {
			items, err = readCSV(tables[0])
		}
	}
	if err != nil {
		return nil, fmt.Errorf("evaluate on %s: %w", path, err)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("there is nothing to evaluate in %s: give a folder with a folder of images for each class, or a CSV file with lines of file,label", path)
	}
	return items, nil
}

// readFolders lists the files below the folders of classes, which may be links to folders.
func readFolders(root string) ([]Item, error) {
	classes, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, class := range classes {
		if info, err := os.Stat(filepath.Join(root, class.Name())); err != nil || !info.IsDir() {
			continue
		}
		// With a separator at its end a link is the folder.
		folder := filepath.Join(root, class.Name()) + string(filepath.Separator)
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(d.Name(), ".") && d.IsDir():
				return fs.SkipDir
			case strings.HasPrefix(d.Name(), "."):
			case d.Type().IsRegular(), d.Type() == fs.ModeSymlink:
				items = append(items, Item{path, class.Name()})
			}
			if len(items) > maxItems {
				return fmt.Errorf("more than %d files", maxItems)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// The names that the two columns of a CSV file with a head may have, the best first.
var (
	fileColumns  = []string{"file", "path", "image", "filename"}
	labelColumns = []string{"wnid", "label", "class", "id", "name"}
)

// byteOrderMark is what Excel writes before UTF-8.
const byteOrderMark = "\ufeff"

// readCSV reads lines of file,label. A first line that names such columns says where they are.
func readCSV(path string) ([]Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := bufio.NewReader(f)
	if start, _ := text.Peek(len(byteOrderMark)); string(start) == byteOrderMark {
		_, _ = text.Discard(len(byteOrderMark))
	}
	r := csv.NewReader(text)
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	fileAt, labelAt := 0, 1
	var items []Item
	for line := 1; ; line++ {
		fields, err := r.Read()
		switch {
		case err == io.EOF:
			return items, nil
		case err != nil:
			return nil, err
		}
		if line == 1 {
			if a, b := column(fields, fileColumns), column(fields, labelColumns); a >= 0 && b >= 0 {
				fileAt, labelAt = a, b
				continue
			}
		}
		if len(fields) <= max(fileAt, labelAt) {
			return nil, fmt.Errorf("line %d has %d fields: each line must have a file and a label, as in cat.jpg,n02123045", line, len(fields))
		}
		file := fields[fileAt]
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		if items = append(items, Item{file, fields[labelAt]}); len(items) > maxItems {
			return nil, fmt.Errorf("more than %d lines", maxItems)
		}
	}
}

// column returns the place of the best of the names among the fields, or −1.
func column(fields, names []string) int {
	for _, name := range names {
		if at := slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(strings.TrimSpace(f), name) }); at >= 0 {
			return at
		}
	}
	return -1
}
