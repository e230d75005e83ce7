package scenario

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
)

// maxFragments bounds the fragments of a story, so that no story runs for long.
// Source: local, docs/spec/scenario.md.
const maxFragments = 100_000

// Result is what became of a story.
type Result struct {
	Title        string
	Events       []Event // one a step
	Expectations int     // of the story
	vector       vector
	zero         int64
}

// Event is what one step came to.
type Event struct {
	Line     int
	At       int64  // Unix ms
	When     string // as a story writes it: "day 29 23:00"
	Text     string // what happened
	License  string // with which license; "" for what surrounds them
	Decision *license.Decision
	State    *license.State // of the license's instance after the step
	Watched  int64          // ms of media that watch and read got
	Choice   string         // of choose
	Child    *license.License
	Lost     []string
	Err      error    // of what the state must permit: give, derive, renew; with another license of any step
	Failures []string // expectations that are not met
}

// Failures lists the expectations that are not met, with their lines.
func (r *Result) Failures() []string {
	var out []string
	for _, e := range r.Events {
		for _, f := range e.Failures {
			out = append(out, fmt.Sprintf("line %d: %s", e.Line, f))
		}
	}
	return out
}

// When writes a time (Unix ms) as the story does: "day 29 23:00"; 0 is "none".
func (r *Result) When(ms int64) string { return dayText(r.zero, ms) }

// JSON is the compiled vector of docs/spec/scenario.md.
func (r *Result) JSON() ([]byte, error) { return r.vector.encode() }

// run is a story that is being told.
type run struct {
	zero    int64 // Unix ms of day 0
	now     int64
	w       world
	inst    []*instance
	current string
	left    int64 // fragments
	step    *step
	began   int64 // when the step began: what times in expectations are relative to
}

// instance is one license in use: the state in memory, and the durable one.
type instance struct {
	name         string
	lic          *license.License
	mem, durable license.State
	ses          *session
}

// session is a running use.
type session struct {
	license.Session
	req   license.Request
	begun int64 // the story's time
	pos   int64 // media ms
}

// outcome is what a step came to.
type outcome struct {
	in       *instance
	decision *license.Decision
	err      error
	watched  int64
	child    *license.License
	lost     []string
	choice   string
	vec      *vStep
}

// Run tells the story. An error is an *Error: a step that cannot be done at
// all, such as watching where nothing was started. What comes out otherwise
// than expected stands in the Result.
func Run(s *Scenario) (*Result, error) {
	r := &run{zero: s.specs[0].lic.Info().IssuedAt, current: s.specs[0].name, left: maxFragments, w: newWorld(s)}
	r.now = r.zero
	res := &Result{Title: s.title, Expectations: s.Expectations(), zero: r.zero, vector: vector{Title: s.title, Shows: s.shows}}
	for _, x := range s.specs {
		r.inst = append(r.inst, &instance{name: x.name, lic: x.lic})
		res.vector.Licenses = append(res.vector.Licenses, vLicense{x.name, hex.EncodeToString(x.lic.Bytes())})
	}
	for i := range s.steps {
		r.step = &s.steps[i]
		e, vec, err := r.tell(s.loose)
		if err != nil {
			return nil, &Error{r.step.line, err.Error()}
		}
		res.Events = append(res.Events, e)
		if vec != nil {
			res.vector.Steps = append(res.vector.Steps, vec)
		}
	}
	return res, nil
}

// tell runs one step.
func (r *run) tell(loose bool) (Event, *vStep, error) {
	x := r.step
	at := x.when.in(r.zero, r.now)
	if at < r.now {
		return Event{}, nil, fmt.Errorf("%q is before %s, the step before: write the day", x.words[0], dayText(r.zero, r.now))
	}
	r.now, r.began = at, at
	e := Event{Line: x.line, At: at, When: dayText(r.zero, at), Text: strings.Join(x.words[1:], " ")}
	var out outcome
	if err := x.act(r, &out); err != nil {
		if !loose {
			return Event{}, nil, err
		}
		out = outcome{err: err} // another license may not have come so far
	}
	e.Decision, e.Watched, e.Choice, e.Child, e.Lost, e.Err = out.decision, out.watched, out.choice, out.child, out.lost, out.err
	if out.in != nil {
		e.License = out.in.name
		state := out.in.mem
		e.State = &state
	}
	if out.vec != nil {
		if err := r.expected(&out); err != nil {
			return Event{}, nil, err
		}
	}
	if loose {
		return e, out.vec, nil
	}
	if out.err != nil && !slices.ContainsFunc(x.expect, func(e expectation) bool { return e.text == "fails" }) {
		e.Failures = append(e.Failures, fmt.Sprintf("not possible, and nothing says => fails: %v", out.err))
	}
	for _, want := range x.expect {
		if got := want.check(r, &out); got != "" {
			e.Failures = append(e.Failures, fmt.Sprintf("expected %q, got %s", want.text, got))
		}
	}
	return e, out.vec, nil
}

// expected writes what came out into the step of the vector.
func (r *run) expected(out *outcome) error {
	v := out.vec
	v.Expect.Decision, v.Expect.Failed = ofDecision(out.decision), out.err != nil
	if out.in == nil {
		return nil
	}
	state, err := out.in.mem.Encode()
	v.Expect.State = hex.EncodeToString(state)
	return err
}

// vec begins a step of the vector.
func (r *run) vec(do string, in *instance) *vStep {
	v := &vStep{Line: r.step.line, Text: strings.Join(r.step.words, " "), At: r.now, Do: do}
	if in != nil {
		v.License = in.name
	}
	return v
}

// vecInput begins a step that has an input.
func (r *run) vecInput(do string, in *instance, x *license.Input) *vStep {
	v := r.vec(do, in)
	v.Clock, v.Env, v.Request = ofClock(x.Clock), ofEnv(&x.Env), ofRequest(&x.Request)
	return v
}

// instance finds a license by its name; "" is the one in use.
func (r *run) instance(name string) (*instance, error) {
	if name == "" {
		name = r.current
	}
	for _, in := range r.inst {
		if in.name == name {
			return in, nil
		}
	}
	var names []string
	for _, in := range r.inst {
		names = append(names, in.name)
	}
	return nil, fmt.Errorf("there is no license %q; there are %s", name, strings.Join(names, ", "))
}

// keep sets the instance's state, durable too.
func (in *instance) keep(s license.State) { in.mem, in.durable = s, s }

// take keeps a step as a TREM does.
func (in *instance) take(s *license.Step) {
	if !s.Decision.Allow {
		return
	}
	in.mem = s.State
	if s.Commit {
		in.durable = s.State
	}
}
