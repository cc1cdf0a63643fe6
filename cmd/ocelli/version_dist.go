//go:build dist

package main

import _ "embed"

// The file is made by scripts/licenses.sh before the build.
//
//go:embed licenses.txt
var carriedLicenses string

func init() { licenses, packed = carriedLicenses, true }
