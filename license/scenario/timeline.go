package scenario

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/lares-drm/lares/license"
	"github.com/lares-drm/lares/license/permission"
)

// Limits of a time line. Source: local.
const (
	MaxSegments = 500
	MaxAhead    = 3660 * day // ms behind the last step
	maxLooks    = 20_000     // evaluations
	maxBeyond   = 64         // evaluations behind what ends a segment
)

// Timeline is what a story's question is answered all the time, not only when
// it is asked: what comes of somebody who asks at this moment, outside of a
// session that may be running. While a step lasts, as watch does, it is judged
// with the state at the step's end.
type Timeline struct {
	Title    string
	Zero     int64 // day 0, Unix ms
	From     int64 // Unix ms
	Until    int64 // not included
	Action   permission.Permission
	Events   []Event
	Segments []Segment // in order; a gap where there is nothing to ask yet
	Cut      bool      // there was too much of it: it ends early
	looks    int
}

// Segment is a stretch of time with one decision.
type Segment struct {
	From     int64 // Unix ms
	Until    int64 // not included
	Step     int   // index of the event behind which it lies; -1: in front of the first
	License  string
	Decision *license.Decision // at From. Its reasons are those of the whole segment
	Holds    int64             // when it would become another if nothing else happened; 0 = not in sight
}

// Timeline tells the story and goes on for so many ms behind its last step, as
// the clock of the last step does. It asks what the story asked last, and PLAY
// when it asks nothing. A decision becomes another one only where something
// happens or where it says so itself (evaluation.md, I9), so no time in between
// has to be looked at.
func (s *Scenario) Timeline(ahead int64) (*Timeline, error) {
	if ahead < 0 || ahead > MaxAhead {
		return nil, fmt.Errorf("a time line goes 0 to %d days ahead", MaxAhead/day)
	}
	r := &run{zero: s.specs[0].lic.Info().IssuedAt, current: s.specs[0].name, left: maxFragments, w: newWorld(s)}
	r.now, r.began = r.zero, r.zero
	for _, x := range s.specs {
		r.inst = append(r.inst, &instance{name: x.name, lic: x.lic})
	}
	q := s.question()
	t := &Timeline{Title: s.title, Zero: r.zero, From: r.zero, Action: q.req.Action}
	for i := range s.steps {
		x := &s.steps[i]
		if err := t.stretch(r, q, x.when.in(r.zero, r.now)); err != nil {
			return nil, &Error{x.line, err.Error()}
		}
		r.step = x
		e, _, err := r.tell(s.loose)
		if err != nil {
			return nil, &Error{x.line, err.Error()}
		}
		t.Events = append(t.Events, e)
	}
	if err := t.stretch(r, q, min(r.now+ahead, maxTime)); err != nil {
		return nil, err
	}
	if !t.Cut {
		t.Until = min(r.now+ahead, maxTime)
	}
	return t, nil
}

// question is what the time line asks.
type question struct {
	*ask
	choose bool
	among  []string // of choose; none: all
}

// question finds what the story asks last, without what is said once only: from
// where, again, and the yes to a takeover.
func (s *Scenario) question() *question {
	for _, x := range slices.Backward(s.steps) {
		verb, words := x.words[1], x.words[2:]
		q, action := &question{choose: verb == "choose"}, permission.Play
		switch verb {
		case "ask", "start":
		case "reserve":
			action = permission.Copy
		case "choose":
			for len(words) > 0 && isName(words[0]) && (&ask{}).options()[words[0]] == nil {
				q.among, words = append(q.among, words[0]), words[1:]
			}
		default:
			continue
		}
		var err error
		if q.ask, err = readRequest(words, action); err != nil {
			continue // cannot be: Parse has read it
		}
		q.req.From, q.req.Again, q.req.Takeover = 0, false, false
		return q
	}
	return &question{ask: &ask{req: license.Request{Action: permission.Play}}}
}

// stretch asks from the beginning of the step that was told last to until.
func (t *Timeline) stretch(r *run, q *question, until int64) error {
	from, step := r.began, len(t.Events)-1
	if t.Cut || from >= until || !q.there(r) {
		return nil
	}
	at, err := t.look(r, q, from)
	for from < until && err == nil {
		if len(t.Segments) == MaxSegments || t.looks > maxLooks {
			t.Cut, t.Until = true, from
			return nil
		}
		x := Segment{From: from, Until: until, Step: step, License: at.name, Decision: at.decision}
		first := at
		for beyond := 0; at.next < maxTime && beyond < maxBeyond && t.looks <= maxLooks; {
			if at.next >= until {
				beyond++
			}
			when := at.next
			if at, err = t.look(r, q, when); err != nil {
				return err
			}
			if !at.same(&first) {
				x.Holds = when
				break
			}
		}
		if x.Holds != 0 {
			x.Until = min(until, x.Holds)
		} else if t.looks > maxLooks && at.next < until {
			x.Until = at.next
		}
		t.Segments = append(t.Segments, x)
		from = x.Until
	}
	return err
}

// there reports whether the license that is asked, and the key, is in the story
// yet.
func (q *question) there(r *run) bool {
	for _, name := range append([]string{q.with, q.under}, q.among...) {
		if _, err := r.instance(name); err != nil {
			return false
		}
	}
	if q.kid == "" {
		return true
	}
	in, err := r.instance(q.with)
	if err == nil {
		_, err = in.key(q.kid)
	}
	return err == nil
}

// answer is what comes of the question at a time.
type answer struct {
	name     string
	decision *license.Decision
	next     int64 // the first time at which it may be another; maxTime: never
}

// same reports whether two answers are one to people: all but what their times
// say about what comes next.
func (a *answer) same(b *answer) bool {
	of := func(a *answer) *vDecision {
		d := ofDecision(a.decision)
		d.ValidUntil, d.Next = 0, nil
		for i := range d.Confirm {
			if d.Confirm[i].Kind == license.StartsInterval {
				d.Confirm[i].Until = 0 // it moves with the time at which it would begin
			}
		}
		return d
	}
	return a.name == b.name && reflect.DeepEqual(of(a), of(b))
}

// look asks at a time.
func (t *Timeline) look(r *run, q *question, at int64) (answer, error) {
	defer func(now int64) { r.now = now }(r.now)
	r.now = at
	if q.choose {
		return t.choice(r, q)
	}
	t.looks++
	in, x, err := q.input(r)
	if err != nil {
		return answer{}, err
	}
	evaluate := in.lic.Evaluate
	if q.under != "" {
		above, err := r.instance(q.under)
		if err != nil {
			return answer{}, err
		}
		evaluate = func(x license.Input) (d license.Decision) {
			license.EvaluateChain([]*license.License{in.lic, above.lic}, &x, &d)
			return d
		}
	}
	d, next := r.judge(x, evaluate)
	return answer{in.name, &d, next}, nil
}

// choice asks each license, and answers with the one that is used.
func (t *Timeline) choice(r *run, q *question) (answer, error) {
	var list []license.Candidate
	var names []string
	next := int64(maxTime)
	for _, in := range r.inst {
		if len(q.among) > 0 && !slices.Contains(q.among, in.name) {
			continue
		}
		t.looks++
		d, at := r.judge(r.input(in, q.req), in.lic.Evaluate)
		next = min(next, at)
		list, names = append(list, license.Candidate{License: in.lic, State: in.mem, Decision: &d}), append(names, in.name)
	}
	best := license.Choose(list)
	if best < 0 {
		return answer{}, fmt.Errorf("there is nothing to choose from")
	}
	return answer{names[best], list[best].Decision, next}, nil
}

// judge evaluates, and finds the first time behind now at which the decision may
// be another one. What a decision lists is in the time that the license is
// judged by, which stands still while something proven is ahead of the clock.
// Three things go on as the story has it: how long the time was not proven,
// whether the machine's clock is behind, and the age of the revocation state,
// which grows only once the story has given it.
func (r *run) judge(x license.Input, evaluate func(license.Input) license.Decision) (license.Decision, int64) {
	next := int64(maxTime)
	may := func(at int64) {
		if at > r.now {
			next = min(next, at)
		}
	}
	d := evaluate(x)
	list := d.Next
	c := &x.Clock
	if est := max(c.Est, c.Lo, c.LoIss, x.State.LoLic); est > c.Est {
		may(r.now + est - c.Est)
		free := x
		free.Clock.Lo, free.Clock.LoIss, free.State.LoLic = 0, 0, 0
		list = slices.DeleteFunc(evaluate(free).Next, func(n license.Change) bool { return n.Change != string(license.ClockStale) })
	}
	for _, n := range list {
		if n.Change != string(license.StatusStale) {
			may(r.now + n.At - c.Est)
		}
	}
	if c.Behind && c.Q != license.Secure {
		may(r.w.lo - behindBy - r.w.os)
	}
	for _, in := range r.inst {
		if age := in.lic.Info().RevMaxAge; age != 0 && r.w.aged != 0 {
			may(r.w.aged + age - r.w.age + 1)
		}
	}
	return d, next
}

// At is the segment in which a time (Unix ms) lies; nil where there is none.
func (t *Timeline) At(ms int64) *Segment {
	i, found := slices.BinarySearchFunc(t.Segments, ms, func(s Segment, ms int64) int { return cmp.Compare(s.From, ms) })
	if !found {
		i--
	}
	if i < 0 || ms >= t.Segments[i].Until {
		return nil
	}
	return &t.Segments[i]
}

// Failures lists the expectations that are not met, with their lines.
func (t *Timeline) Failures() []string { return (&Result{Events: t.Events}).Failures() }

// When writes a time (Unix ms) as the story does: "day 29 23:00"; 0 is "none".
func (t *Timeline) When(ms int64) string { return dayText(t.Zero, ms) }

// Text prints the time line, a line for each segment: from, until, and what
// holds.
func (t *Timeline) Text() string {
	var out strings.Builder
	for i := range t.Segments {
		x := &t.Segments[i]
		words := "no"
		if x.Decision.Allow {
			words = strings.TrimSpace("yes " + x.Decision.Tier.String())
		}
		for _, y := range x.Decision.Reasons {
			words += fmt.Sprintf(" %s(%s)", y.Code, y.Constraint)
		}
		fmt.Fprintf(&out, "%-16s to %-16s %v: %s\n", t.When(x.From), t.When(x.Until), t.Action, words)
	}
	if t.Cut {
		fmt.Fprintf(&out, "%-16s and so on: the time line is cut here\n", t.When(t.Until))
	}
	return out.String()
}
