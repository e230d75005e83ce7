package scenario

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/profile"
)

// Scenario is a story that was read: licenses, and steps in order. It is not
// changed after Parse.
type Scenario struct {
	title   string
	shows   []string
	headers []header
	specs   []*spec
	steps   []step
	device  *profile.Profile // the kind of device; nil = none in particular
	loose   bool             // expectations are not judged: another license was put in
}

// step is one line of the story.
type step struct {
	line   int
	when   moment
	words  []string // the time, then what happens
	act    action
	expect []expectation
	asks   bool // has a decision or a state to expect something of
}

// action does what a step says. It fills the outcome where there is one.
type action func(r *run, out *outcome) error

// Parse reads a story. An error is an *Error: it names the line, the word and
// what would be right.
func Parse(text []byte) (*Scenario, error) {
	if len(text) > MaxSize {
		return nil, &Error{1, fmt.Sprintf("the story has %d bytes; %d at most", len(text), MaxSize)}
	}
	s := new(Scenario)
	for n, line := range strings.Split(string(text), "\n") {
		if err := s.line(n+1, line); err != nil {
			return nil, &Error{n + 1, err.Error()}
		}
	}
	if s.title == "" {
		return nil, &Error{1, `no title: begin with a line such as "title: Rental, begun on the last evening"`}
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return s, nil
}

// headLine is a header in front of the steps: a word, perhaps the name of a
// license, and a colon.
var headLine = regexp.MustCompile(`^([a-z]+)(?: ([a-z0-9-]+))? ?:(?: (.*))?$`)

func (s *Scenario) line(n int, line string) error {
	if len(line) > maxLine {
		return fmt.Errorf("the line has %d bytes; %d at most", len(line), maxLine)
	}
	for i, c := range []byte(line) {
		if c < ' ' && c != '\t' && (c != '\r' || i != len(line)-1) {
			return fmt.Errorf("a control character: write plain text")
		}
	}
	line = strings.Join(strings.Fields(uncomment(line)), " ")
	if line == "" {
		return nil
	}
	if m := headLine.FindStringSubmatch(line); m != nil {
		h := header{n, m[1], m[2], strings.TrimSpace(m[3])}
		if len(s.steps) > 0 {
			return fmt.Errorf("%q stands behind the first step; headers stand in front", h.key+":")
		}
		if h.name == "" {
			h.name = firstName
		}
		if h.value == "" {
			return fmt.Errorf("%s: nothing behind it", h.key)
		}
		s.headers = append(s.headers, h)
		return s.header(h)
	}
	return s.step(n, line)
}

// uncomment cuts a comment: "#" at the beginning or behind a space.
func uncomment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

func (s *Scenario) step(n int, line string) error {
	if len(s.steps) == MaxSteps {
		return fmt.Errorf("more than %d steps", MaxSteps)
	}
	words := tokens(line)
	if len(words) == 0 {
		return fmt.Errorf("nothing but punctuation")
	}
	x := step{line: n}
	var want []string
	for i, w := range words {
		if w == "=>" {
			words, want = words[:i], words[i+1:]
			if len(want) == 0 {
				return fmt.Errorf("nothing is expected behind =>")
			}
			break
		}
	}
	if len(words) == 0 {
		return fmt.Errorf("nothing stands in front of =>")
	}
	var err error
	if x.when, err = parseMoment(words[0]); err != nil {
		return fmt.Errorf("a step begins with its time: %w", err)
	}
	if strings.HasPrefix(words[0], "-") {
		return fmt.Errorf("%q: a story does not go back", words[0])
	}
	x.words = words
	if len(words) == 1 {
		x.words = append(words[:1:1], "wait")
	}
	if x.act, x.asks, err = parseAct(x.words[1], x.words[2:]); err != nil {
		return err
	}
	if len(want) > 0 && !x.asks {
		return fmt.Errorf("%q gives nothing to expect anything of: put an ask behind it", x.words[1])
	}
	if x.expect, err = parseExpect(want); err != nil {
		return err
	}
	s.steps = append(s.steps, x)
	return nil
}

// Title is what the story is called.
func (s *Scenario) Title() string { return s.title }

// Shows names what of docs/spec/evaluation.md the story shows, such as E3, V3.
func (s *Scenario) Shows() []string { return s.shows }

// Expectations is how many things the story expects; one that expects nothing
// is a run and shows nothing.
func (s *Scenario) Expectations() int {
	n := 0
	for _, x := range s.steps {
		n += len(x.expect)
	}
	return n
}

// Text prints the story without its comments. Parse reads it back to the same.
func (s *Scenario) Text() string {
	var out strings.Builder
	for _, h := range s.headers {
		key := h.key
		if h.name != firstName {
			key += " " + h.name
		}
		fmt.Fprintf(&out, "%s: %s\n", key, h.value)
	}
	for _, x := range s.steps {
		fmt.Fprintf(&out, "%-16s %s", x.words[0], strings.Join(x.words[1:], " "))
		for i, e := range x.expect {
			sep := ", "
			if i == 0 {
				sep = " => "
			}
			out.WriteString(sep + e.text)
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// With is the story with its first license replaced by another one. Its day 0
// is that license's issue, its device belongs to the license's subject, and
// what the story expects is not judged.
func (s *Scenario) With(lic *license.License) *Scenario {
	out := *s
	out.specs = append([]*spec(nil), s.specs...)
	first := *s.specs[0]
	first.lic, first.info = lic, *lic.Info()
	out.specs[0], out.loose = &first, true
	return &out
}
