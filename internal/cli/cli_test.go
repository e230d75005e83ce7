package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// run gives one command line to Main and returns what it printed.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: func() time.Time { return time.Unix(1767225600, 0) }}
	code = Main(t.Context(), args, env)
	return out.String(), errs.String(), code
}

func testFunc(d ast.Decl) (string, bool) {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv != nil {
		return "", false
	}
	name := f.Name.Name
	return name, strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Example")
}

func TestMain_Statuses(t *testing.T) {
	for _, tc := range []struct {
		name, args, stderr string
		code               int
	}{
		{"help", "", "", 0},
		{"help of a command", "help version", "", 0},
		{"version", "version", "", 0},
		{"unknown command", "versiom", `lares: unknown command "versiom" for "lares"; did you mean version? (see 'lares --help')` + "\n", 2},
		{"unknown flag", "version --loud", "lares: unknown flag: --loud (see 'lares version --help')\n", 2},
		{"unknown argument", "version 2", `lares: unknown command "2" for "lares version" (see 'lares version --help')` + "\n", 2},
		{"unknown sub-command", "completion korn", `lares: unknown command "korn" for "lares completion" (see 'lares completion --help')` + "\n", 2},
		{"unknown help topic", "help versiom", `lares: unknown command "versiom" for "lares"; did you mean version? (see 'lares help --help')` + "\n", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, errs, code := run(t, strings.Fields(tc.args)...)
			if code != tc.code || errs != tc.stderr {
				t.Errorf("status %d, stderr %q; want %d, %q", code, errs, tc.code, tc.stderr)
			}
			if (out != "") != (code == 0) {
				t.Errorf("stdout %q with status %d: results only", out, code)
			}
		})
	}
}

func TestMain_ErrorsKeepTheirStatusAndArePrintedOnce(t *testing.T) {
	for _, tc := range []struct {
		err    error
		code   int
		stderr string
	}{
		{errors.New("disk is full"), 1, "lares: disk is full\n"},
		{usage("give a file"), 2, "lares: give a file (see 'lares try --help')\n"},
		{refused("no plays left"), 3, "lares: no plays left\n"},
		{later("the shop is closed"), 4, "lares: the shop is closed\n"},
		{check("hash differs"), 5, "lares: hash differs\n"},
		{saidNo(), 3, ""},
		{errors.Join(errors.New("while closing"), refused("no")), 3, "lares: while closing\nno\n"},
	} {
		var errs bytes.Buffer
		env := &Env{Stdout: io.Discard, Stderr: &errs}
		root := newRoot(env)
		root.AddCommand(&cobra.Command{Use: "try", RunE: func(*cobra.Command, []string) error { return tc.err }})
		root.SetArgs([]string{"try"})
		if code := execute(t.Context(), root, env); code != tc.code || errs.String() != tc.stderr {
			t.Errorf("%v: status %d, stderr %q; want %d, %q", tc.err, code, errs.String(), tc.code, tc.stderr)
		}
	}
}

func TestMain_RequiredFlagIsUsage(t *testing.T) {
	root := &cobra.Command{Use: "lares", SilenceErrors: true, SilenceUsage: true}
	sub := &cobra.Command{Use: "try", RunE: func(*cobra.Command, []string) error { return nil }}
	sub.Flags().String("out", "", "file")
	if err := sub.MarkFlagRequired("out"); err != nil {
		t.Fatal(err)
	}
	root.AddCommand(sub)
	strict(root)
	root.SetArgs([]string{"try"})
	var errs bytes.Buffer
	if code := execute(t.Context(), root, &Env{Stderr: &errs}); code != statusUsage || !strings.Contains(errs.String(), `"out" not set`) {
		t.Errorf("status %d, %q", code, errs.String())
	}
}

func TestVersion_JSON(t *testing.T) {
	out, _, _ := run(t, "version", "--json")
	var v versionInfo
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Version != Version || v.Go == "" {
		t.Errorf("%v: %s", err, out)
	}
}

// leaves are the commands that do something, without what cobra adds itself.
func leaves(cmd *cobra.Command) []*cobra.Command {
	if cmd.Name() == "completion" || cmd.Name() == "help" {
		return nil
	}
	if !cmd.HasSubCommands() {
		return []*cobra.Command{cmd}
	}
	var all []*cobra.Command
	for _, sub := range cmd.Commands() {
		all = append(all, leaves(sub)...)
	}
	return all
}

func TestHelp_EveryCommandIsExplainedWithExamples(t *testing.T) {
	all := leaves(newRoot(&Env{}))
	for _, cmd := range all {
		path := cmd.CommandPath()
		if cmd.Hidden {
			continue
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: needs one line about itself, without a full stop", path)
		}
		if n := strings.Count(cmd.Example, path); n < 1 {
			t.Errorf("%s: needs worked examples that begin with %q", path, path)
		}
		if !cmd.Runnable() || cmd.RunE == nil && cmd.Run != nil {
			t.Errorf("%s: must return its error (RunE)", path)
		}
		if cmd.InheritedFlags().Lookup("json") == nil && cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s: has no --json", path)
		}
	}
}

func TestHelp_ThreeGroupsHoldEveryCommand(t *testing.T) {
	root := newRoot(&Env{})
	groups := []string{groupHome, groupIssuer, groupBuilder}
	for _, cmd := range root.Commands() {
		if !slices.Contains(groups, cmd.GroupID) {
			t.Errorf("%s: stands in no help group", cmd.Name())
		}
	}
}

func TestHelp_NamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, cmd := range newRoot(&Env{}).Commands() {
		if seen[cmd.Name()] {
			t.Errorf("two commands are called %s", cmd.Name())
		}
		seen[cmd.Name()] = true
	}
}
