package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// loadSettings gives the flags that were not set on the command line their values from the environment and from the file that
// --config names. Everything that is wrong is told at once.
func loadSettings(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	set := func(f *pflag.Flag, value, where string) {
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not possible: %s", where, value, reason(err)))
		}
	}
	given := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	flags.VisitAll(func(f *pflag.Flag) {
		if value, ok := lookup(variable(f.Name)); ok && !given[f.Name] && f.Name != "help" {
			given[f.Name] = true
			set(f, value, variable(f.Name))
		}
	})
	file := flags.Lookup("config").Value.String()
	if file == "" {
		return asUsage(errs)
	}
	var values map[string]any
	if _, err := toml.DecodeFile(file, &values); err != nil {
		return asUsage(append(errs, fmt.Errorf("the settings in %s cannot be read: %w", file, err)))
	}
	for name, value := range values {
		f := flags.Lookup(name)
		switch {
		case f == nil || name == "config" || name == "help":
			errs = append(errs, fmt.Errorf("%s: there is no setting %q for this command", file, name))
		case !given[name]:
			set(f, fmt.Sprint(value), file+": "+name)
		}
	}
	return asUsage(errs)
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "OCELLI_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// reason is the last part of what pflag says about a value: the rest repeats name and value.
func reason(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+1:]
}

// asUsage makes one usage error of all that is wrong, one per line, and nil of nothing.
func asUsage(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}
