//go:build !linux

package durable

import (
	"errors"
	"io/fs"
	"os"
)

// There is no journal outside of Linux: each file is flushed by itself.

func isLocal(*os.File) (bool, error)     { return false, nil }
func lifeOf(*os.File) (string, error)    { return "", nil }
func syncFileSystem(*os.File) error      { return errors.ErrUnsupported }
func lockRange(*os.File, int64) error    { return errors.ErrUnsupported }
func tryLockRange(*os.File, int64) error { return errors.ErrUnsupported }
func unlockRange(*os.File, int64) error  { return errors.ErrUnsupported }
func isLinked(fs.FileInfo) bool          { return true }
