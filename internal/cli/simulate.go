package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lares-drm/lares/internal/httpd"
	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/scenario"
)

func newLicenseSimulateCmd(env *Env) *cobra.Command {
	var t telling
	cmd := &cobra.Command{
		Use:   "simulate STORY|FOLDER",
		Short: "Tell a story about a license and see what every step comes to",
		Long: `Tell a story about a license and see what every step comes to: who asks for what, when, on which
screen, with which clock. The language is that of docs/spec/scenario.md. Of one STORY the whole time line is printed;
of a FOLDER each story (*.txt) is judged.

A story passes when everything it expects comes out, and when the vector beside it (NAME.json beside NAME.txt) is what
it compiles to. --update writes the vectors. In a folder, a story that expects nothing fails. With --license the story's
first license is replaced by another one; then nothing is judged.`,
		Example: `  lares license simulate testdata/scenario/v03-rental-replace.txt
  lares license simulate testdata/scenario
  lares license simulate evening.txt --license film.license`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return env.simulate(cmd, args[0], &t) },
	}
	cmd.Flags().StringVar(&t.license, "license", "", "a license file to tell the story with, instead of its first license")
	cmd.Flags().BoolVar(&t.update, "update", false, "write the vectors of the stories beside them")
	cmd.MarkFlagsMutuallyExclusive("license", "update")
	return cmd
}

// telling is how stories are told.
type telling struct {
	license string // a file
	update  bool
	folder  bool
}

// told is one story, and what became of it.
type told struct {
	File     string      `json:"file"`
	Title    string      `json:"title,omitempty"`
	Passed   bool        `json:"passed"`
	Problems []string    `json:"problems,omitempty"`
	Events   []toldEvent `json:"events,omitempty"` // of one story
	result   *scenario.Result
}

type toldEvent struct {
	Line     int               `json:"line"`
	At       int64             `json:"at"`
	When     string            `json:"when"`
	Text     string            `json:"text"`
	License  string            `json:"license,omitempty"`
	Decision *license.Decision `json:"decision,omitempty"`
	Watched  int64             `json:"watched_ms,omitempty"`
	Choice   string            `json:"choice,omitempty"`
	Error    string            `json:"error,omitempty"`
	Failures []string          `json:"failures,omitempty"`
}

// toldAll is what `license simulate --json` prints.
type toldAll struct {
	Scenarios []*told `json:"scenarios"`
	Passed    int     `json:"passed"`
	Failed    int     `json:"failed"`
}

func (e *Env) simulate(cmd *cobra.Command, name string, t *telling) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	files := []string{name}
	if t.folder = info.IsDir(); t.folder {
		if t.license != "" {
			return usage("--license goes with one STORY, and %s is a folder", name)
		}
		if files, err = stories(name); err != nil {
			return err
		}
	}
	var all toldAll
	for _, f := range files {
		x, err := e.tell(f, t)
		if err != nil {
			return err
		}
		if all.Scenarios = append(all.Scenarios, x); x.Passed {
			all.Passed++
		} else {
			all.Failed++
		}
	}
	if err := e.print(cmd, &all, func(w io.Writer) error { return all.text(w, t) }); err != nil {
		return err
	}
	if all.Failed > 0 {
		return check("%d of %d stories did not pass", all.Failed, len(all.Scenarios))
	}
	return nil
}

// stories lists the stories below a folder, and the vectors that have none.
func stories(folder string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(p) {
		case ".txt":
			out = append(out, p)
		case ".json":
			if _, err := os.Stat(strings.TrimSuffix(p, ".json") + ".txt"); err != nil {
				out = append(out, p)
			}
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		return nil, usage("%s has no story: no file *.txt", folder)
	}
	slices.Sort(out)
	return out, err
}

// tell reads and tells one story. What is wrong with the story itself is a
// problem of it, not an error.
func (e *Env) tell(file string, t *telling) (*told, error) {
	x := &told{File: file}
	if filepath.Ext(file) == ".json" {
		x.Problems = []string{"a vector without its story: write " + strings.TrimSuffix(filepath.Base(file), ".json") + ".txt beside it, or remove it"}
		return x, nil
	}
	text, err := readMost(file, scenario.MaxSize+1)
	if err != nil {
		return nil, err
	}
	s, err := scenario.Parse(text)
	if err != nil {
		return x.broken(err), nil
	}
	x.Title = s.Title()
	if t.license != "" {
		lic, err := e.license(t.license)
		if err != nil {
			return nil, err
		}
		s = s.With(lic)
	}
	if x.result, err = scenario.Run(s); err != nil {
		return x.broken(err), nil
	}
	if !t.folder {
		x.Events = eventsOf(x.result)
	}
	if t.license != "" {
		x.Passed = true
		return x, nil
	}
	for _, f := range x.result.Failures() {
		x.Problems = append(x.Problems, storyLine(file, f))
	}
	return x, x.compare(t)
}

// storyLine puts the file in front of "line 7: …".
func storyLine(file, problem string) string {
	return file + ":" + strings.TrimPrefix(problem, "line ")
}

func (x *told) broken(err error) *told {
	x.Problems = []string{x.File + ": " + err.Error()}
	if at, ok := errors.AsType[*scenario.Error](err); ok {
		x.Problems = []string{fmt.Sprintf("%s:%d: %s", x.File, at.Line, at.Reason)}
	}
	return x
}

// compare holds the story against the vector beside it, or writes that.
func (x *told) compare(t *telling) error {
	if x.result.Expectations == 0 {
		if t.folder {
			x.Problems = append(x.Problems, x.File+": expects nothing, so it shows nothing: write => behind a step")
		}
		x.Passed = len(x.Problems) == 0
		return nil
	}
	data, err := x.result.JSON()
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(x.File, filepath.Ext(x.File)) + ".json"
	had, err := readMost(name, maxVector)
	switch {
	case t.update && len(x.Problems) == 0 && (err != nil || !bytes.Equal(had, data)):
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	case t.update:
	case errors.Is(err, fs.ErrNotExist):
		x.Problems = append(x.Problems, x.File+": has no vector beside it: --update writes "+filepath.Base(name))
	case err != nil:
		return err
	case !bytes.Equal(had, data):
		x.Problems = append(x.Problems, fmt.Sprintf("%s:%d: is not what the story compiles to: --update writes it anew", name, firstDifference(had, data)))
	}
	x.Passed = len(x.Problems) == 0
	return nil
}

// firstDifference is the first line in which two texts differ, from 1.
func firstDifference(a, b []byte) int {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return i + 1
		}
	}
	return min(len(x), len(y)) + 1
}

// maxVector bounds a vector that is read, in bytes: 500 steps of at most 8 KiB
// each, and their licenses. Source: local.
const maxVector = 8 << 20

// readMost reads a file of at most so many bytes; a longer one is cut.
func readMost(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return io.ReadAll(io.LimitReader(f, most))
}

func eventsOf(r *scenario.Result) []toldEvent {
	var out []toldEvent
	for _, e := range r.Events {
		x := toldEvent{Line: e.Line, At: e.At, When: e.When, Text: e.Text, License: e.License, Decision: e.Decision, Watched: e.Watched, Choice: e.Choice, Failures: e.Failures}
		if e.Err != nil {
			x.Error = e.Err.Error()
		}
		out = append(out, x)
	}
	return out
}

// text prints the time line of one story, or a line for each.
func (a *toldAll) text(w io.Writer, t *telling) error {
	p := printer{w: w}
	for _, x := range a.Scenarios {
		if x.Events != nil {
			x.timeLine(&p)
		}
		if t.license != "" {
			for _, s := range x.Problems {
				p.line("%s", s)
			}
			continue
		}
		verdict := "PASS"
		if !x.Passed {
			verdict = "FAIL"
		}
		p.line("%s  %s", verdict, strings.TrimSpace(x.Title+"  ("+x.File+")"))
		for _, s := range x.Problems {
			p.line("      %s", s)
		}
	}
	if t.license == "" {
		p.line("%d passed, %d failed", a.Passed, a.Failed)
	}
	return p.err
}

// timeLine prints what every step came to.
func (x *told) timeLine(p *printer) {
	names := map[string]bool{}
	for _, e := range x.result.Events {
		if e.License != "" {
			names[e.License] = true
		}
	}
	for _, e := range x.result.Events {
		text := e.Text
		if e.License != "" && len(names) > 1 {
			text += "   (" + e.License + ")"
		}
		p.line("%-16s %s", e.When, text)
		say := func(format string, args ...any) { p.line("%17s"+format, append([]any{""}, args...)...) }
		if e.Err != nil {
			say("not possible: %v", e.Err)
		}
		if e.Choice != "" {
			say("the choice: %s", e.Choice)
		}
		if d := e.Decision; d != nil {
			decisionLines(say, d, x.result)
		}
		if e.Watched > 0 {
			say("%d s of media", e.Watched/1000)
		}
		if e.Child != nil {
			say("a license: %s", e.Child.Units().Text())
		}
		if len(e.Lost) > 0 {
			say("lost: %s", strings.Join(e.Lost, ", "))
		}
		for _, f := range e.Failures {
			say("! %s", f)
		}
	}
}

// decisionLines says a decision in words.
func decisionLines(say func(string, ...any), d *license.Decision, r *scenario.Result) {
	words := "no"
	if d.Allow {
		words = strings.TrimSpace("yes " + d.Tier.String())
	}
	if d.ValidUntil != 0 {
		words += ", until " + r.When(d.ValidUntil) + " (" + d.Next[0].Change + ")"
	}
	say("%s", words)
	for _, x := range d.Reasons {
		warns := ""
		if !x.Closed {
			warns = "warning: "
		}
		why := httpd.WordsOf(x)
		say("  %s%s/%s: %s", warns, x.Code, x.Constraint, strings.TrimSpace(why.Sentence+" "+why.Help))
	}
	for _, s := range httpd.ConfirmsOf(d) {
		say("  %s", s)
	}
	for _, n := range d.Notes {
		say("  note: %s", n)
	}
	for _, u := range d.WouldUnlock {
		say("  %v would need: %s", u.Tier, u.Need)
	}
	if n := d.Counters.PlaysLeft; n != nil {
		say("  plays left: %d", *n)
	}
	if n := d.Counters.CopiesLeft; n != nil {
		say("  copies left: %d", *n)
	}
	if n := d.Counters.MSLeft; n != nil {
		say("  time left: %d s", *n/1000)
	}
}
