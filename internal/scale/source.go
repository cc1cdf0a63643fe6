package scale

import "embed"

// Source is the Go source of [Decision]: the description of the HTTP API is made of the comments in it.
//
//go:embed scale.go
var Source embed.FS
