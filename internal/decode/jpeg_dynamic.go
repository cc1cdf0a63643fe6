//go:build cgo && dynamicjpeg

package decode

// #cgo LDFLAGS: -ljpeg
import "C"
