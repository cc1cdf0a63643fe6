package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// age is a span of time that people write as 30d, 12h or 0.
type age time.Duration

const day = 24 * time.Hour

func (a *age) String() string {
	d := time.Duration(*a)
	switch {
	case d == 0:
		return "0"
	case d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// Set reads an age; pflag calls it.
func (a *age) Set(text string) error {
	text = strings.TrimSpace(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err != nil || n < 0 || n > 36500 {
			return errors.New("write an age like 30d, 12h or 0")
		}
		*a = age(time.Duration(n) * day)
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return errors.New("write an age like 30d, 12h or 0")
	}
	*a = age(d)
	return nil
}

// Type is what the help shows in place of the value.
func (a *age) Type() string { return "AGE" }
