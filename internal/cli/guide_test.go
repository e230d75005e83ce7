package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	guideCode = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	guideLine = regexp.MustCompile(`(?m)(?:^|[ ` + "`" + `/])lares ([a-z][^` + "`" + `#\n]*)`)
	guideFlag = regexp.MustCompile(`--[a-z][a-z-]*`)
	guideWord = regexp.MustCompile(`^[a-z]+$`)
)

// TestGuide_CommandsAreThere: every command that README and the guides show
// exists, with its flags.
func TestGuide_CommandsAreThere(t *testing.T) {
	pages, err := filepath.Glob("../../docs/guide/*.md")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(&Env{})
	found := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range guideCode.FindAllString(string(text), -1) {
			for _, m := range guideLine.FindAllStringSubmatch(code, -1) {
				found++
				if why := unknown(root, m[1]); why != "" {
					t.Errorf("%s shows lares %s: %s", filepath.Base(page), m[1], why)
				}
			}
		}
	}
	if found < 30 {
		t.Errorf("%d commands found on the pages: they are not read as they are written", found)
	}
}

// TestGuide_UnknownIsFound: the test above would say so.
func TestGuide_UnknownIsFound(t *testing.T) {
	root := newRoot(&Env{})
	for line, want := range map[string]bool{
		"device move TITLE --to phone --within 7d": false, "device …": false, "device move TITLE --until 7d": true, "device throw TITLE": true, "nothing": true,
	} {
		if got := unknown(root, line) != ""; got != want {
			t.Errorf("lares %s: unknown %v, want %v", line, got, want)
		}
	}
}

// unknown says what of a command line does not exist.
func unknown(root *cobra.Command, line string) string {
	words := strings.Fields(strings.Trim(line, " ,.;:)"))
	cmd, rest, err := root.Find(words)
	if err != nil || cmd == root {
		return "no such command"
	}
	if cmd.HasSubCommands() && len(rest) > 0 && guideWord.MatchString(rest[0]) {
		return "no such command of " + cmd.CommandPath()
	}
	for _, flag := range guideFlag.FindAllString(line, -1) {
		name := strings.TrimPrefix(flag, "--")
		if name != "help" && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
			return "no flag " + flag
		}
	}
	return ""
}
