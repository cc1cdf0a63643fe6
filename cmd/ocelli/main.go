// Command ocelli is the whole service in one binary: everything on one machine, or one role of a fleet.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli"
	_ "github.com/ocelli/ocelli/internal/slack" // far fewer wake-ups
)

// The exit codes of the command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitSome   = 3 // some images failed, and the others are done
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends what the first could not
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the command without the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addCompletion(root)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSomeFailed):
		return exitSome
	case errors.Is(err, errTold):
		return exitFailed
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "ocelli: stopped before the end")
		return exitFailed
	}
	if fault, ok := errors.AsType[*ocelli.Error](err); ok && fault.Code == ocelli.Unauthorized {
		err = errors.New("this service needs an API key that is valid: give one in OCELLI_KEY, or with --key; who runs the service makes it with `ocelli keys create`")
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "ocelli: %s\n", strings.TrimSpace(line))
	}
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a command line that cannot be understood, or settings that contradict each other.
type usageError struct{ error }

// errSomeFailed ends a command whose output already tells which images failed.
var errSomeFailed = errors.New("some images failed")

// errTold ends a command that has told already what went wrong.
var errTold = errors.New("what was wrong has been told")

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ocelli",
		Short: "Recognise what is in images: many at once, none lost, with as many workers as the backlog is worth",
		Long: "Ocelli recognises what is in images. `ocelli up` starts everything on this machine and prints the\n" +
			"address of its page; `ocelli classify PHOTO…` needs no server at all.\n\n" +
			"Every flag can also be set by an environment variable (--max-workers by OCELLI_MAX_WORKERS) or in\n" +
			"a TOML file given with --config (max-workers = 4). A flag wins over the environment, and that over the file.",
		Args: knownCommand,

		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:               true,
		SilenceErrors:              true,
		PersistentPreRunE:          func(cmd *cobra.Command, _ []string) error { return loadSettings(cmd, os.LookupEnv) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			f := bad.GetFlag()
			err = fmt.Errorf("--%s=%s is not possible: %s", f.Name, bad.GetValue(), reason(f, err))
		}
		return usageError{fmt.Errorf("%w: see `%s --help`", err, cmd.CommandPath())}
	})
	root.PersistentFlags().String("config", "", "read settings from this TOML `FILE`")
	addGroup(root, "On this machine", newUpCommand(), newClassifyCommand(), newModelsCommand(), newKeysCommand(), newCleanCommand())
	addGroup(root, "With a service that runs", newStatusCommand(), newWhyCommand(), newJobsCommand(), newLoadCommand())
	addGroup(root, "On many machines", newServeCommand(), newScaleCommand(), newWorkerCommand(), newSimCommand())
	root.AddCommand(newVersionCommand(), newManCommand(), newThumbnailsCommand())
	complete(root)
	return root
}

// addGroup adds commands that the help shows together, under a title.
func addGroup(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title + ":"})
	for _, c := range commands {
		c.GroupID = title
	}
	root.AddCommand(commands...)
}

// knownCommand refuses what is no command, in one line.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see `" + cmd.CommandPath() + " --help`"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean `" + cmd.CommandPath() + " " + near[0] + "`?"
	}
	return usageError{fmt.Errorf("there is no command %q: %s", args[0], hint)}
}

// noArgs refuses arguments with a sentence of ours.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, but got %q: see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	return nil
}
