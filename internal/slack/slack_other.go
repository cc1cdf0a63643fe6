//go:build !linux || !cgo

package slack
