package ocelli

import "embed"

// Source is the Go source of the types that stand in answers: the description of the HTTP API is made of the comments in it.
//
//go:embed error.go image.go job.go result.go status.go
var Source embed.FS
