//go:build !dist || !linux

package ortlib

// embedded is nil: only a binary that is built with the tag "dist" carries the library.
var embedded func() (string, error)
