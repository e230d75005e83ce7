package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Env is what a command may use of the world besides its flags and files.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer // results only
	Stderr io.Writer // progress, and the one line of an error
	Now    func() time.Time
}

// The three help groups. Source: local (ARCHITECTURE.md, "Programs").
const (
	groupHome    = "home"
	groupIssuer  = "issuer"
	groupBuilder = "builder"
)

// commands is the table of all commands: each file of this package gives one
// newXCmd function, and this is the one place that knows them.
func commands() []command {
	return []command{
		{groupHome, newDemoCmd},
		{groupHome, newHomeCmd},
		{groupHome, newDeviceCmd},
		{groupHome, newDoctorCmd},
		{groupHome, newSupportBundleCmd},
		{groupHome, newRelayCmd},
		{groupIssuer, newCACmd},
		{groupIssuer, newIssuerCmd},
		{groupIssuer, newPackCmd},
		{groupBuilder, newLicenseCmd},
		{groupBuilder, newContentCmd},
		{groupBuilder, newSLTPCmd},
		{groupBuilder, newAdaptCmd},
		{groupBuilder, newTREMCmd},
		{groupIssuer, newConformCmd},
		{groupBuilder, newStandardCmd},
		{groupBuilder, newBenchCmd},
		{groupBuilder, newVersionCmd},
	}
}

type command struct {
	group string
	make  func(*Env) *cobra.Command
}

// Exit statuses. Source: local (ARCHITECTURE.md, "Programs").
const (
	statusDone    = 0
	statusError   = 1
	statusUsage   = 2
	statusRefused = 3
	statusLater   = 4
	statusCheck   = 5
)

// exitError carries an exit status. A nil err means that the command has
// already said everything, for example as a printed decision.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is a command line that cannot be understood: status 2.
func usage(format string, args ...any) error { return exit(statusUsage, format, args) }

// refused is a license, a key or an output that says no: status 3.
func refused(format string, args ...any) error { return exit(statusRefused, format, args) }

// later is something that may work when asked again: status 4.
func later(format string, args ...any) error { return exit(statusLater, format, args) }

// check is a check or a bench row that does not hold: status 5.
func check(format string, args ...any) error { return exit(statusCheck, format, args) }

// saidNo ends a command with a status after it has printed its answer itself.
func saidNo() error { return &exitError{code: statusRefused} }

func exit(code int, format string, args []any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// Main runs one command line, without the program's name, and returns its exit
// status. Cancelling ctx stops a command that serves.
func Main(ctx context.Context, args []string, env *Env) int {
	root := newRoot(env)
	root.SetArgs(args)
	return execute(ctx, root, env)
}

// Commands is the tree of all commands, for who writes manual pages and
// completions of it. It runs nothing.
func Commands() *cobra.Command {
	return newRoot(&Env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Now: time.Now})
}

func execute(ctx context.Context, root *cobra.Command, env *Env) int {
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return statusDone
	}
	code := statusError
	if ee, ok := errors.AsType[*exitError](err); ok {
		code = ee.code
		if ee.err == nil {
			return code
		}
	}
	hint := ""
	if code == statusUsage {
		hint = fmt.Sprintf(" (see '%s --help')", cmd.CommandPath())
	}
	fmt.Fprintf(env.Stderr, "lares: %v%s\n", err, hint)
	return code
}

func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "lares",
		Short: "An open DRM system for home media servers",
		Long: `Lares keeps a household's films, plays them on its devices, and moves, copies
and lends them under rules that are exact, explained and enforced.

Exit status: 0 done, 1 error, 2 usage, 3 refused (license, key, output),
4 try later, 5 a check does not hold.`,
		Example: `  lares demo              # a whole house on this machine, with a film to play
  lares standard          # what the standard says, and what shows it here
  lares help device       # the commands of a device`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.AddGroup(
		&cobra.Group{ID: groupHome, Title: "At home:"},
		&cobra.Group{ID: groupIssuer, Title: "For issuers:"},
		&cobra.Group{ID: groupBuilder, Title: "For builders:"},
	)
	root.SetCompletionCommandGroupID(groupBuilder)
	root.SetHelpCommandGroupID(groupBuilder)
	root.PersistentFlags().Bool("json", false, "print one JSON value instead of text")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	for _, c := range commands() {
		cmd := c.make(env)
		cmd.GroupID = c.group
		root.AddCommand(cmd)
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	strict(root)
	return root
}

// strict makes every argument error a usage error, for the whole tree: a
// command takes no arguments unless it says so, and a group of commands
// answers an unknown one with an error rather than with its help.
func strict(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		strict(sub)
	}
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args = unknownCommand
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		return
	}
	want := cmd.Args
	if want == nil {
		want = cobra.NoArgs
	}
	if cmd.Name() == "help" {
		want = helpTopic
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := want(cmd, args)
		if err == nil {
			err = cmd.ValidateRequiredFlags()
		}
		if err == nil {
			err = cmd.ValidateFlagGroups()
		}
		if err != nil {
			return usage("%w", err)
		}
		return nil
	}
}

// helpTopic accepts the path of a command that exists.
func helpTopic(cmd *cobra.Command, args []string) error {
	at := cmd.Root()
	for _, name := range args {
		i := slices.IndexFunc(at.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
		if i < 0 {
			return unknownCommand(at, []string{name})
		}
		at = at.Commands()[i]
	}
	return nil
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2 // letters; cobra's own default, which it sets elsewhere
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}

// wantJSON reports whether the user asked for JSON.
func wantJSON(cmd *cobra.Command) bool {
	on, err := cmd.Flags().GetBool("json")
	return err == nil && on
}

// print writes a command's answer to standard output: value as indented JSON
// when --json was given, otherwise whatever text writes.
func (e *Env) print(cmd *cobra.Command, value any, text func(w io.Writer) error) error {
	if !wantJSON(cmd) {
		return text(e.Stdout)
	}
	enc := json.NewEncoder(e.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("print answer: %w", err)
	}
	return nil
}
