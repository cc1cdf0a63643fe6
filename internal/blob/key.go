package blob

import (
	"fmt"
	"strings"
)

// MaxKey is the greatest length of a key, in bytes. Amazon S3 takes object keys of 1024 bytes
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html); the rest is left for the
// prefix that a bucket is shared by.
const MaxKey = 800

// maxPart is the greatest length of one part, in bytes; file systems take names of 255.
const maxPart = 200

// CheckKey returns an error unless key obeys the rules that stand at [Store]. Drivers call it first thing.
func CheckKey(key string) error {
	if len(key) > MaxKey {
		return fmt.Errorf("the key %.40q… has %d bytes, and at most %d are allowed", key, len(key), MaxKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("the key %q has the part %q, which is not allowed", key, part)
		}
		if err := checkBytes(part); err != nil {
			return fmt.Errorf("the key %q is not allowed: %w", key, err)
		}
	}
	return nil
}

// CheckPrefix returns an error unless some key could begin with prefix.
func CheckPrefix(prefix string) error {
	folder, last := "", prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder, last = prefix[:i], prefix[i+1:]
		if err := CheckKey(folder); err != nil {
			return fmt.Errorf("no key begins with %.80q: %w", prefix, err)
		}
	}
	if err := checkBytes(last); err != nil {
		return fmt.Errorf("no key begins with %.80q: %w", prefix, err)
	}
	return nil
}

// checkBytes returns an error when a part is too long or has a byte that no part may have.
func checkBytes(part string) error {
	if len(part) > maxPart {
		return fmt.Errorf("a part of it has %d bytes, and at most %d are allowed", len(part), maxPart)
	}
	for i := range len(part) {
		switch c := part[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("it has the byte %q, and only letters, digits, \".\", \"_\" and \"-\" are allowed", c)
		}
	}
	return nil
}
