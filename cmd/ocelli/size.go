package main

import (
	"fmt"
	"strconv"
	"strings"
)

// size is a number of bytes that people write as 32MB. The units are powers of 1024.
type size int64

var sizeUnits = []struct {
	name string
	size size
}{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

func (s *size) String() string {
	for _, u := range sizeUnits {
		if *s >= u.size && *s%u.size == 0 {
			return fmt.Sprintf("%d%s", *s/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(*s))
}

// Set reads a size; pflag calls it.
func (s *size) Set(text string) error {
	number, unit := strings.ToUpper(strings.TrimSpace(text)), size(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62)/int64(unit) {
		return fmt.Errorf("write a size like 32MB or 2GB")
	}
	*s = size(n) * unit
	return nil
}

// Type is what the help shows in place of the value.
func (s *size) Type() string { return "SIZE" }
