//go:build cgo && !dynamicjpeg

package decode

// libjpeg-turbo is linked into the binary, so that it runs where the library is not installed. Where only the shared
// library is at hand, build with -tags dynamicjpeg.

// #cgo LDFLAGS: -l:libjpeg.a
import "C"
