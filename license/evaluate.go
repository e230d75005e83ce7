package license

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Evaluate decides whether the action is permitted, with every reason (E14,
// E15). It is pure: the same license and input give the same decision. It
// judges the beginning of a use; Extend judges one that runs. An allowed
// decision with a Confirm of kind StartsInterval begins only with
// Request.Confirm.
func (l *License) Evaluate(in Input) Decision {
	var d Decision
	Evaluate(l, &in, &d)
	return d
}

// Evaluate is License.Evaluate into a decision that the caller reuses.
func Evaluate(l *License, in *Input, out *Decision) {
	e := evaluation{l: l, in: in, out: out, est: in.Clock.Est}
	e.run()
}

// evaluation is one run; ses is nil except inside a running session.
type evaluation struct {
	l     *License
	in    *Input
	out   *Decision
	est   int64
	terms terms
	ses   *Session
}

func (e *evaluation) run() {
	e.est = max(e.in.Clock.Est, e.in.Clock.Lo, e.in.State.LoLic)
	*e.out = Decision{Allow: true, Action: e.in.Request.Action, License: e.l.info.ID}
	e.signature()
	e.subject()
	e.revocation()
	e.phase()
	if e.grant() {
		e.critical()
		e.clock()
		e.times()
		e.counts()
		e.levels()
		e.outputs()
		e.confirms()
	}
	e.out.finish()
}

func (e *evaluation) signature() {
	if !e.in.Env.Accepted {
		e.out.refuse(BadSignature, "SIGNATURE", "not verified", "verified at acceptance", Contact)
	}
}

// subject: does the license name this device, its domain or its user?
func (e *evaluation) subject() {
	s := e.l.info.Subject
	switch s.Kind {
	case SubjectDevice:
		if ident.Device(s.ID) != e.in.Env.Device {
			e.out.refuse(SubjectMismatch, "SUBJECT", "this device", "another device", "")
		}
	case SubjectUser:
		if !slices.Contains(e.in.Env.Users, ident.User(s.ID)) {
			e.out.refuse(SubjectMismatch, "SUBJECT", "no such user here", "the user of the license", "")
		}
	default:
		e.domain(s)
	}
}

func (e *evaluation) domain(s Subject) {
	i := slices.IndexFunc(e.in.Env.Domains, func(m Membership) bool { return m.Domain == s.ID })
	if i < 0 {
		e.out.refuse(SubjectMismatch, "SUBJECT", "not a member", "a member of the domain", Contact)
		return
	}
	m := e.in.Env.Domains[i]
	if m.Generation < s.Generation {
		e.out.refuse(SubjectMismatch, "SUBJECT", "domain generation "+strconv.FormatUint(m.Generation, 10), strconv.FormatUint(s.Generation, 10), Renew)
	}
	if m.Removed {
		e.out.refuse(SubjectMismatch, "SUBJECT", "removed from the domain", "a member", Contact)
	}
}

func (e *evaluation) revocation() {
	for _, what := range e.in.Env.Revoked {
		e.out.refuse(RevokedCode, what, "revoked", "not revoked", Contact)
	}
	i := &e.l.info
	if e.in.Env.RevEpoch < i.RevMinEpoch {
		e.out.refuse(StatusStale, "REV_MIN_EPOCH", strconv.FormatUint(e.in.Env.RevEpoch, 10), strconv.FormatUint(i.RevMinEpoch, 10), Renew)
	}
	if i.RevMaxAge != 0 && e.in.Env.StatusAge > i.RevMaxAge {
		e.out.add(Reason{Code: StatusStale, Constraint: "REV_MAX_AGE", Have: span(e.in.Env.StatusAge), Need: span(i.RevMaxAge), Closed: i.Policy.Stale == StaleDeny, Remedy: Renew})
	}
}

func (e *evaluation) phase() {
	s := &e.in.State
	switch s.Phase {
	case Held:
	case Escrow:
		have := s.Phase.String()
		if s.Tx != nil {
			have = s.Tx.ID.String()
		}
		e.out.refuse(LockedInMove, "PHASE", have, Held.String(), ResumeMove)
	case Lent:
		r := Reason{Code: LentOut, Constraint: "PHASE", Have: s.Phase.String(), Need: Held.String(), Closed: true, Remedy: WaitUntil}
		if s.Loan != nil {
			r.Earliest = s.Loan.Until
		}
		e.out.add(r)
	default:
		e.out.refuse(MovedAway, "PHASE", s.Phase.String(), Held.String(), Contact)
	}
	if s.Phase == Held && s.Tx != nil && s.Tx.Unconfirmed {
		e.unconfirmed(s.Tx)
	}
}

// unconfirmed: what is installed and not closed may only be played, and with a
// hold only in proven time before it (docs/spec/transfer.md).
func (e *evaluation) unconfirmed(tx *Tx) {
	if e.in.Request.Action != permission.Play {
		e.out.refuse(LockedInMove, "UNCONFIRMED", tx.ID.String(), "closed by the source", ResumeMove)
	}
	if tx.HoldUntil == 0 {
		return
	}
	e.out.change(e.est, tx.HoldUntil-startSkew, "HOLD_UNTIL")
	if e.in.Clock.Q != Secure || plus(e.est, startSkew) >= tx.HoldUntil {
		e.out.refuse(LockedInMove, "HOLD_UNTIL", when(e.est), "< "+when(tx.HoldUntil), ResumeMove)
	}
}

// grant finds the unit that grants the action and reports whether its
// constraints can be judged.
func (e *evaluation) grant() bool {
	action := e.in.Request.Action
	if !e.l.units.Grants(action) {
		e.out.refuse(NoGrant, action.String(), "not granted", "a license that grants it", Buy)
		return false
	}
	if action != permission.Play {
		e.out.refuse(UnknownCritical, action.String(), "not evaluated by this version", "", Contact)
		return false
	}
	units := e.l.units.UsageFor(action)
	if len(units) > 1 {
		e.out.refuse(UnknownCritical, "several PLAY units", "not evaluated by this version", "", Contact)
	}
	e.terms = termsOf(&e.l.info, e.l.units, &units[0])
	return true
}

func (e *evaluation) critical() {
	unknown := append(e.l.units.UnknownCritical(permission.Play), e.l.info.Policy.unknown(true)...)
	x := e.terms.usage
	if len(x.Part) > 0 {
		unknown = append(unknown, "PART")
	}
	if x.Accumulated != 0 && e.in.Env.Anchor >= 2 {
		unknown = append(unknown, "ACCUMULATED under an NV anchor")
	}
	for _, name := range unknown {
		e.out.refuse(UnknownCritical, name, "unknown to this version", "", Contact)
	}
	for _, name := range append(e.l.units.UnknownOther(), e.l.info.Policy.unknown(false)...) {
		e.out.Notes = append(e.out.Notes, "ignored: "+name)
	}
}

func (e *evaluation) levels() {
	t, p, env := &e.terms, &e.l.info.Policy, &e.in.Env
	if uint64(env.Level) < p.MinLevel {
		e.out.refuse(TREMLevel, "MIN_LEVEL", fmt.Sprintf("SL%d", env.Level), fmt.Sprintf("SL%d", p.MinLevel), Contact)
	}
	if uint64(env.Anchor) < t.minAnchor() {
		e.out.refuse(TREMLevel, "MIN_ANCHOR", fmt.Sprintf("A%d", env.Anchor), fmt.Sprintf("A%d", t.minAnchor()), Contact)
	}
}

func (e *evaluation) confirms() {
	t, s := &e.terms, &e.in.State
	if e.ses != nil || !e.out.Allow {
		return
	}
	if t.usage.Interval != 0 && s.FirstUse == 0 {
		e.out.Confirm = append(e.out.Confirm, Confirm{Kind: StartsInterval, Until: t.end(e.est)})
	}
	if n := t.usage.PlayCount; n != 0 && !e.resumes() && s.left(permission.Play, n) == 1 {
		e.out.Confirm = append(e.out.Confirm, Confirm{Kind: LastPlay})
	}
}
