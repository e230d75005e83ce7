package license

import (
	"slices"

	"github.com/lares-drm/lares/license/permission"
)

// Evaluate decides whether the action is permitted, with every reason (E14,
// E15). It is pure: the same license and input give the same decision. It
// judges the beginning of a use; Extend judges one that runs. An allowed
// decision with a Confirm of kind StartsInterval or Metered begins only with
// Request.Confirm or Request.Consent.
func (l *License) Evaluate(in Input) Decision {
	var d Decision
	Evaluate(l, &in, &d)
	return d
}

// Evaluate is License.Evaluate into a decision that the caller reuses: what
// out held, its counters too, is overwritten.
func Evaluate(l *License, in *Input, out *Decision) {
	e := evaluation{l: l, in: in, out: out}
	e.run()
}

// evaluation is one run; ses is nil except inside a running session.
type evaluation struct {
	l     *License
	in    *Input
	out   *Decision
	est   int64
	q     Quality
	unit  int // index of the usage unit that is judged; of the one used, when it is over
	terms terms
	ses   *Session
	place place
	spare Counters // storage of the decision's earlier counters
}

// prepare empties the decision and takes the time (evaluator E1).
func (e *evaluation) prepare() {
	c, o := &e.in.Clock, e.out
	e.est = max(c.Est, c.Lo, c.LoIss, e.in.State.LoLic)
	e.q = c.Q
	if e.q == Secure && c.Relayed != 0 && uint64(c.Relayed) < max(e.l.info.Policy.MinLevel, 1) {
		e.q = Anchored
	}
	e.spare = o.Counters
	*o = Decision{
		Allow: true, Action: e.in.Request.Action, License: e.l.info.ID,
		KIDs: o.KIDs[:0], Next: o.Next[:0], Reasons: o.Reasons[:0], Confirm: o.Confirm[:0], Notes: o.Notes[:0], WouldUnlock: o.WouldUnlock[:0], Blocked: o.Blocked[:0],
	}
}

func (e *evaluation) run() {
	e.prepare()
	e.signature()
	e.subject()
	e.revocation()
	e.sunset()
	e.renewal()
	e.phase()
	e.person()
	if e.granted() {
		if e.use() {
			e.units()
		} else {
			e.handling()
		}
		e.confirms()
	}
	e.out.finish()
}

// use reports whether the action uses the content; the others hand it on.
func (e *evaluation) use() bool {
	a := e.in.Request.Action
	return a == permission.Play || a == permission.Render
}

// granted reports whether anything grants the action.
func (e *evaluation) granted() bool {
	action, m := e.in.Request.Action, e.l.units.Management
	switch {
	case e.l.units.Grants(action):
		return true
	case action == permission.Copy && m != nil && m.Copy == permission.CopyNoMore:
		e.out.refuse(Generation, "COPY", "a copy", "an instance that may be copied", e.moveInstead(""))
	default:
		e.out.refuse(NoGrant, action.String(), "not granted", "a license that grants it", Buy)
	}
	return false
}

// units judges the usage units that cover the request and settles on the one
// that is used: of those that allow the one that burns least, else the one with
// the fewest closed reasons. The times of all stay in next (evaluator E2).
func (e *evaluation) units() {
	if e.ses != nil && e.ses.unit > 0 {
		e.judge(e.ses.unit - 1)
		return
	}
	best, score, n := -1, 0, 0
	for i := range e.l.units.Usage {
		if e.covers(i) {
			best = i
			n++
		}
	}
	switch n {
	case 0:
		e.out.refuse(NoGrant, "PART", "another part", "a unit for this part", Buy)
		return
	case 1:
		e.judge(best)
		return
	}
	best = -1
	for i := range e.l.units.Usage {
		if !e.covers(i) {
			continue
		}
		before := e.mark()
		e.judge(i)
		s := e.score(before.reasons)
		e.reset(before)
		if best < 0 || s < score {
			best, score = i, s
		}
	}
	e.judge(best)
}

// covers reports whether a usage unit is of the action and covers the part.
func (e *evaluation) covers(i int) bool {
	x := &e.l.units.Usage[i]
	return x.Kind.Permission() == e.in.Request.Action && (len(x.Part) == 0 || slices.Equal(x.Part, e.in.Request.Part))
}

// score orders the alternatives: an allowed one by what it burns, below every
// one that is refused.
func (e *evaluation) score(from int) int {
	closed := 0
	for i := from; i < len(e.out.Reasons); i++ {
		if e.out.Reasons[i].Closed {
			closed++
		}
	}
	if closed > 0 {
		return int(burnsInterval) + closed
	}
	return int(e.terms.burns(&e.in.State))
}

// marked is how far a decision had come.
type marked struct {
	reasons, confirm, notes, unlock, kids, blocked int
	allow                                          bool
}

func (e *evaluation) mark() marked {
	o := e.out
	return marked{len(o.Reasons), len(o.Confirm), len(o.Notes), len(o.WouldUnlock), len(o.KIDs), len(o.Blocked), o.Allow}
}

// reset takes back what a unit said, except the times at which it changes.
func (e *evaluation) reset(m marked) {
	o := e.out
	o.Reasons, o.Confirm, o.Notes = o.Reasons[:m.reasons], o.Confirm[:m.confirm], o.Notes[:m.notes]
	o.WouldUnlock, o.KIDs, o.Blocked = o.WouldUnlock[:m.unlock], o.KIDs[:m.kids], o.Blocked[:m.blocked]
	o.Allow, o.Tier, o.Counters = m.allow, 0, Counters{}
}

// judge is the evaluation of one usage unit, in the order of E15.
func (e *evaluation) judge(unit int) {
	e.unit, e.out.Unit = unit, unit+1
	e.terms = termsOf(&e.l.info, e.l.units, &e.l.units.Usage[unit])
	e.terms.denied = e.in.State.Denied != 0
	e.critical()
	e.clock()
	e.start()
	e.firstUse()
	e.membership()
	e.end()
	e.counts()
	e.timeline()
	e.region()
	e.concurrency()
	e.renderer()
	e.levels()
	e.outputs()
	e.overlay()
}

// critical refuses what is not known here and concerns the action.
func (e *evaluation) critical() {
	if !e.l.unknown {
		return
	}
	names := e.l.units.UnknownCritical(e.in.Request.Action)
	if e.use() {
		names = e.l.units.UnknownInUsage(e.unit)
	}
	for _, name := range names {
		e.out.refuse(UnknownCritical, name, "unknown to this version", "", Contact)
	}
	for _, name := range e.l.info.Policy.unknown(true) {
		e.out.refuse(UnknownCritical, name, "unknown to this version", "", Contact)
	}
	for _, name := range e.l.units.UnknownOther() {
		e.out.Notes = append(e.out.Notes, "ignored: "+name)
	}
	for _, name := range e.l.info.Policy.unknown(false) {
		e.out.Notes = append(e.out.Notes, "ignored: "+name)
	}
}

// confirms says what the user must or should know before the use.
func (e *evaluation) confirms() {
	t, s, o := &e.terms, &e.in.State, e.out
	if e.ses != nil || !o.Allow || !e.use() {
		return
	}
	if t.usage.Interval != 0 && s.FirstUse == 0 {
		o.Confirm = append(o.Confirm, Confirm{Kind: StartsInterval, Until: t.end(e.est)})
	}
	if n := t.usage.PlayCount; n != 0 && o.Action == permission.Play && !e.resumes() && s.left(permission.Play, n) == 1 {
		o.Confirm = append(o.Confirm, Confirm{Kind: LastPlay})
	}
	if r := e.l.info.Policy.Report; r != nil && !s.Consented && (r.Until == 0 || e.est < r.Until) {
		o.change(e.est, r.Until, "REPORT_ENDS")
		o.Confirm = append(o.Confirm, Confirm{Kind: Metered, Until: r.Until, What: r.What.String(), To: r.To})
	}
}
