package bulk

import (
	"path/filepath"
	"strings"
)

// IsPattern reports whether a path has wildcards.
func IsPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

// splitPattern returns the folder below which everything lies that a pattern can match.
func splitPattern(pattern string) (dir string) {
	before := pattern[:strings.IndexAny(pattern, "*?[")]
	if i := strings.LastIndexByte(before, filepath.Separator); i > 0 {
		return before[:i]
	} else if i == 0 {
		return string(filepath.Separator)
	}
	return "."
}

// matches reports whether a path matches a pattern: "*", "?" and "[a-z]" stand for parts of one name, and "**" for any number of folders.
func matches(pattern, path string) bool {
	separator := string(filepath.Separator)
	return matchParts(strings.Split(filepath.Clean(pattern), separator), strings.Split(filepath.Clean(path), separator))
}

func matchParts(pattern, path []string) bool {
	for ; len(pattern) > 0; pattern, path = pattern[1:], path[1:] {
		if pattern[0] == "**" {
			for i := range len(path) + 1 {
				if matchParts(pattern[1:], path[i:]) {
					return true
				}
			}
			return false
		}
		if len(path) == 0 {
			return false
		}
		if ok, err := filepath.Match(pattern[0], path[0]); err != nil || !ok {
			return false
		}
	}
	return len(path) == 0
}
