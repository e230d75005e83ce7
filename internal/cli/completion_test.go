package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// helpFlag is a flag in the list of a command's flags.
var helpFlag = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z0-9-]+)`)

// offered is what a shell offers behind some words: the names, without what explains them.
func offered(t *testing.T, words ...string) (names []string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot(&Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
	root.SetArgs(append([]string{"__complete"}, words...))
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%q: %v", words, err)
	}
	for line := range strings.Lines(out.String()) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		names = append(names, name)
	}
	return names
}

// TestCompletion_EveryCommandAndFlag: a shell offers each command of the tree and each
// of its flags, whatever was added to it.
func TestCompletion_EveryCommandAndFlag(t *testing.T) {
	commands, flags := 0, 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		words := strings.Fields(cmd.CommandPath())[1:]
		if cmd.HasAvailableSubCommands() {
			got := offered(t, append(slices.Clone(words), "")...)
			for _, sub := range cmd.Commands() {
				if sub.Hidden {
					continue
				}
				if commands++; !slices.Contains(got, sub.Name()) {
					t.Errorf("behind %q there is no %q: %q", cmd.CommandPath(), sub.Name(), got)
				}
				if sub.Name() != "help" {
					walk(sub)
				}
			}
		}
		got := offered(t, append(slices.Clone(words), "--")...)
		for _, m := range helpFlag.FindAllStringSubmatch(cmd.LocalFlags().FlagUsages(), -1) {
			flags++
			if !slices.Contains(got, m[1]) && !slices.Contains(offered(t, append(slices.Clone(words), m[1])...), m[1]) { // required ones are offered first
				t.Errorf("%q is not offered %s: %q", cmd.CommandPath(), m[1], got)
			}
		}
	}
	root := newRoot(&Env{})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	walk(root)
	if commands < 100 || flags < 300 {
		t.Errorf("%d commands and %d flags were looked at", commands, flags)
	}
}
