package httpd

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/scenario"
)

//go:embed stories/*.txt
var storyFiles embed.FS

// maxDays bounds how far a time line goes behind its story. Source: local,
// docs/spec/home-api.md.
const maxDays = 366

// msPerDay is a day in ms.
const msPerDay = 24 * 60 * 60 * 1000

// example is a story to begin with.
type example struct {
	Title string
	Text  string
}

// examples reads the embedded stories, in the order of their file names.
func examples() ([]example, error) {
	files, err := fs.Glob(storyFiles, "stories/*.txt")
	if err != nil {
		return nil, err
	}
	var out []example
	for _, f := range files {
		text, err := storyFiles.ReadFile(f)
		if err != nil {
			return nil, err
		}
		s, err := scenario.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("read story %s: %w", f, err)
		}
		out = append(out, example{s.Title(), string(text)})
	}
	return out, nil
}

func (s *server) pageSimulator(w http.ResponseWriter, r *http.Request) {
	list, err := examples()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.render(w, r, http.StatusOK, "simulator", say("nav.simulator"), list)
}

// SimulateRequest is the body of POST /api/v1/simulate.
type SimulateRequest struct {
	Story string `json:"story"`          // or one line: terms
	Days  int    `json:"days,omitempty"` // behind the last step
}

// SimulateView is the answer: a story's time line in codes and words.
type SimulateView struct {
	Title    string       `json:"title"`
	Action   string       `json:"action"`
	Zero     int64        `json:"zero"`  // day 0, Unix ms
	From     int64        `json:"from"`  // Unix ms
	Until    int64        `json:"until"` // Unix ms, not included
	Cut      bool         `json:"cut"`   // there was too much of it
	Events   []StoryEvent `json:"events"`
	Segments []StoryPart  `json:"segments"`
	Failures []string     `json:"failures"` // expectations that are not met
}

// StoryEvent is one step.
type StoryEvent struct {
	Line     int      `json:"line"`
	At       int64    `json:"at"`   // Unix ms
	When     string   `json:"when"` // day 29 23:00
	Text     string   `json:"text"` // as the story writes it
	Words    string   `json:"words"`
	Kind     string   `json:"kind,omitempty"` // yes, less or no; of steps with a decision
	Why      []Why    `json:"why"`
	Codes    []string `json:"codes"`
	Failures []string `json:"failures"`
}

// StoryPart is a stretch of time in which one decision holds.
type StoryPart struct {
	From  int64    `json:"from"`  // Unix ms
	Until int64    `json:"until"` // Unix ms, not included
	Holds int64    `json:"holds"` // when it would change if nothing else happened; 0: not in sight
	Kind  string   `json:"kind"`
	Words string   `json:"words"`
	Why   []Why    `json:"why"`
	Facts []string `json:"facts"`
	Lasts string   `json:"lasts"`
	Codes []string `json:"codes"`
}

// storyProblem says in which line a story is wrong.
type storyProblem struct {
	Problem
	Line int `json:"line"`
}

// apiSimulate tells a story. It reads nothing of the house and changes nothing.
func (s *server) apiSimulate(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > maxBody {
		problem(w, http.StatusRequestEntityTooLarge, "too_large", "The story is too long: all of it may have 64 KiB.")
		return
	}
	var in SimulateRequest
	if !readJSON(w, r, maxBody, &in) {
		return
	}
	if in.Days < 0 || in.Days > maxDays {
		problem(w, http.StatusUnprocessableEntity, "days", fmt.Sprintf("Looking ahead goes from 0 to %d days.", maxDays))
		return
	}
	t, err := tellStory(in)
	if wrong, ok := errors.AsType[*scenario.Error](err); ok {
		p := Problem{Title: http.StatusText(http.StatusUnprocessableEntity), Status: http.StatusUnprocessableEntity, Code: "story", Detail: wrong.Reason}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(storyProblem{p, wrong.Line}) // the client is gone
		return
	}
	if err != nil {
		s.answer(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, viewTimeline(t))
}

// tellStory tells a story. One line without a title is terms: a story of
// somebody who has that and asks.
func tellStory(in SimulateRequest) (*scenario.Timeline, error) {
	text, line := in.Story, strings.TrimSpace(in.Story)
	terms := line != "" && !strings.Contains(line, "\n") && !strings.HasPrefix(line, "title:")
	if terms {
		text = "title: What these terms allow\nlicense: " + strings.TrimPrefix(line, "license:") + "\nday 0 ask\n"
	}
	story, err := scenario.Parse([]byte(text))
	if err == nil {
		var t *scenario.Timeline
		if t, err = story.Timeline(int64(in.Days) * msPerDay); err == nil {
			return t, nil
		}
	}
	if wrong, ok := errors.AsType[*scenario.Error](err); ok && terms {
		return nil, &scenario.Error{Line: 1, Reason: wrong.Reason}
	}
	return nil, err
}

func viewTimeline(t *scenario.Timeline) *SimulateView {
	v := &SimulateView{
		Title: t.Title, Action: t.Action.String(), Zero: t.Zero, From: t.From, Until: t.Until, Cut: t.Cut,
		Events: []StoryEvent{}, Segments: []StoryPart{}, Failures: append([]string{}, t.Failures()...),
	}
	for i := range t.Events {
		e := &t.Events[i]
		x := StoryEvent{Line: e.Line, At: e.At, When: e.When, Text: e.Text, Words: stepSays(e), Why: []Why{}, Codes: []string{}, Failures: append([]string{}, e.Failures...)}
		if d := e.Decision; d != nil {
			if x.Codes = codesOf(d, t); !d.Allow || e.Text != "stop" { // everybody may stop
				x.Kind = kindOf(d)
			}
			x.Why = append(x.Why, storyWhy(d, t.When)...)
		}
		v.Events = append(v.Events, x)
	}
	for i := range t.Segments {
		x := &t.Segments[i]
		kind := kindOf(x.Decision)
		v.Segments = append(v.Segments, StoryPart{
			From: x.From, Until: x.Until, Holds: x.Holds, Kind: kind, Words: says(t.Action, kind), Why: append([]Why{}, storyWhy(x.Decision, t.When)...),
			Facts: storyFacts(x.Decision), Lasts: storyUntil(x, t.When), Codes: codesOf(x.Decision, t),
		})
	}
	return v
}

// codesOf lists what stands behind the words.
func codesOf(d *license.Decision, t *scenario.Timeline) []string {
	out := []string{}
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, r := range d.Reasons {
		s := fmt.Sprintf("%s(%s)", r.Code, r.Constraint)
		if !r.Closed {
			s = "warn " + s
		}
		if r.Remedy != "" {
			s += " remedy " + string(r.Remedy)
		}
		add(s)
	}
	for _, c := range d.Confirm {
		add("confirm " + string(c.Kind))
	}
	for _, u := range d.WouldUnlock {
		add(fmt.Sprintf("unlock %v: %s", u.Tier, u.Need))
	}
	for _, n := range d.Notes {
		add("note " + n)
	}
	for _, n := range d.Next {
		add("next " + n.Change + " " + t.When(n.At))
	}
	return out
}
