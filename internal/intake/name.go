package intake

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNameBytes is what a name is cut to: the longest that common file systems take.
const maxNameBytes = 255

// CleanName makes a name that a sender chose fit to be shown: without folders, control characters and broken
// UTF-8, and of bounded length with its extension kept. It is never used as a path.
func CleanName(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, name))
	if name == "" || name == "." || name == ".." {
		return "image"
	}
	if len(name) <= maxNameBytes {
		return strings.Clone(name) // it is kept for long, and may be a small part of what was sent
	}
	ext := ""
	if i := strings.LastIndexByte(name, '.'); len(name)-i <= 10 {
		ext = name[i:]
	}
	cut := maxNameBytes - len(ext) - len("…")
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…" + ext
}
