//go:build !planted

package main

import (
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/work"
)

// newDecoder returns what a worker decodes with. The build tag planted gives it a hole to break out through, for tests.
func newDecoder() work.Decoder { return decode.New(decode.Limits{}) }
