package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sharedSettings are what all parts of one service must agree on.
type sharedSettings struct {
	lease     time.Duration
	maxImage  size
	logLevel  string
	logFormat string
}

func (s *sharedSettings) register(f *pflag.FlagSet) {
	s.maxImage = maxImageBytes
	f.DurationVar(&s.lease, "lease", 10*time.Second, "how long an image stays with a worker that falls silent")
	f.Var(&s.maxImage, "max-image", "bytes of one image")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text, or json for one object per line")
}

func (s *sharedSettings) problems() []error {
	var errs []error
	if s.lease < time.Second || s.lease > time.Hour {
		errs = append(errs, fmt.Errorf("--lease=%s is not possible: give 1s to 1h", s.lease))
	}
	if s.maxImage < 1<<10 || s.maxImage > 1<<30 {
		errs = append(errs, fmt.Errorf("--max-image=%s is not possible: give 1KB to 1GB", &s.maxImage))
	}
	if new(slog.Level).UnmarshalText([]byte(s.logLevel)) != nil {
		errs = append(errs, fmt.Errorf("--log-level=%s is not known: choose debug, info, warn or error", s.logLevel))
	}
	if s.logFormat != "text" && s.logFormat != "json" {
		errs = append(errs, fmt.Errorf("--log-format=%s is not known: choose text or json", s.logFormat))
	}
	return errs
}

// logger writes to w as the settings say.
func (s *sharedSettings) logger(w io.Writer) *slog.Logger {
	if s.logFormat != "json" {
		return newLogger(w, s.logLevel)
	}
	var l slog.Level
	_ = l.UnmarshalText([]byte(s.logLevel)) // it was checked before
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
}

// newLogger writes to w what is of the level and above. The level was checked before.
func newLogger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level))
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}

// urls say where the parts of a service are that stand elsewhere.
type urls struct{ queue, blobs string }

func (u *urls) register(f *pflag.FlagSet) {
	f.StringVar(&u.queue, "queue", "", "`URL` of the queue: nats://HOST:PORT or sqs://NAME?region=REGION")
	f.StringVar(&u.blobs, "blobs", "", "`URL` of the images and results: file:///FOLDER or s3://BUCKET/PREFIX?region=REGION")
}

func (u *urls) problems() []error {
	var errs []error
	if u.queue == "" {
		errs = append(errs, errors.New("--queue is missing: name the queue, for one --queue nats://HOST:4222"))
	}
	if u.blobs == "" {
		errs = append(errs, errors.New("--blobs is missing: name where the images are, for one --blobs file:///var/lib/ocelli"))
	}
	return errs
}

// flagsOnly marks a command that takes its settings from the command line alone, with the reason.
const flagsOnly = "flags-only"

// loadSettings gives the flags that were not set on the command line their values from the environment and from the file that
// --config names. One file serves all commands: a setting that only others know is passed over. Everything that is wrong is told at once.
func loadSettings(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	flags := cmd.Flags()
	if cmd.Annotations[flagsOnly] != "" {
		return nil
	}
	var errs []error
	set := func(f *pflag.Flag, value, where string) {
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %q is not possible: %s", where, value, reason(f, err)))
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
		case f == nil && knownElsewhere(cmd.Root(), name):
		case f == nil || name == "config" || name == "help":
			errs = append(errs, fmt.Errorf("%s: there is no setting %q: `ocelli up --help` lists them", file, name))
		case !given[name]:
			list, isList := value.([]any)
			_, takesList := f.Value.(pflag.SliceValue)
			switch {
			case isList && !takesList:
				errs = append(errs, fmt.Errorf("%s: %s is a list: write one value, as a text in quotes", file, name))
			case isList:
				for _, one := range list {
					set(f, fmt.Sprint(one), file+": "+name)
				}
			default:
				set(f, fmt.Sprint(value), file+": "+name)
			}
		}
	}
	return asUsage(errs)
}

func knownElsewhere(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Lookup(name) != nil || slices.ContainsFunc(cmd.Commands(), func(sub *cobra.Command) bool { return knownElsewhere(sub, name) })
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "OCELLI_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// reason says what a flag takes, or is the last part of what pflag says about a value: the rest repeats name and value.
func reason(f *pflag.Flag, err error) string {
	switch kind := f.Value.Type(); {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "give a whole number"
	case strings.HasPrefix(kind, "float"):
		return "give a number"
	case kind == "bool":
		return "give true or false"
	case kind == "duration":
		return "give a time like 10s or 5m"
	}
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+2:]
}

// asUsage makes one usage error of all that is wrong, one per line, and nil of nothing.
func asUsage(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}
