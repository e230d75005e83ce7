package license

import (
	"slices"
	"strconv"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// This file judges how the license stands, whatever is asked of it: who signed
// it, whom it is for, what was revoked, where the right is (evaluator E1).

func (e *evaluation) signature() {
	env := &e.in.Env
	if !env.Accepted {
		e.out.refuse(BadSignature, "SIGNATURE", "not verified", "verified at acceptance", Contact)
	}
	if env.CompromisedEpoch != 0 && env.AcceptedEpoch >= env.CompromisedEpoch {
		e.out.refuse(BadSignature, "KEY_COMPROMISE", "accepted at epoch "+strconv.FormatUint(env.AcceptedEpoch, 10),
			"before epoch "+strconv.FormatUint(env.CompromisedEpoch, 10), Contact)
	}
}

// subject: does the license name this device, its domain or its user?
func (e *evaluation) subject() {
	s := &e.l.info.Subject
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

func (e *evaluation) domain(s *Subject) {
	m := e.in.Env.membership(s.ID)
	if m == nil {
		e.out.refuse(SubjectMismatch, "SUBJECT", "not a member", "a member of the domain", Contact)
		return
	}
	if m.Generation < s.Generation {
		e.out.refuse(SubjectMismatch, "SUBJECT", "domain generation "+strconv.FormatUint(m.Generation, 10), strconv.FormatUint(s.Generation, 10), Renew)
	}
	if m.Removed {
		e.out.refuse(SubjectMismatch, "SUBJECT", "removed from the domain", "a member", Contact)
	}
}

// membership is the membership in a domain, or nil.
func (env *Env) membership(d ident.Domain) *Membership {
	for i := range env.Domains {
		if env.Domains[i].Domain == d {
			return &env.Domains[i]
		}
	}
	return nil
}

func (e *evaluation) revocation() {
	i, env := &e.l.info, &e.in.Env
	for _, what := range env.Revoked {
		e.out.refuse(RevokedCode, what, "revoked", "not revoked", Contact)
	}
	if env.RevEpoch < i.RevMinEpoch {
		e.out.refuse(StatusStale, "REV_MIN_EPOCH", strconv.FormatUint(env.RevEpoch, 10), strconv.FormatUint(i.RevMinEpoch, 10), Renew)
	}
	if i.RevMaxAge == 0 {
		return
	}
	e.out.change(e.est, e.passed(i.RevMaxAge-env.StatusAge+1), string(StatusStale))
	if env.StatusAge > i.RevMaxAge {
		e.out.add(Reason{
			Code: StatusStale, Constraint: "REV_MAX_AGE", Have: span(env.StatusAge), Need: "at most " + span(i.RevMaxAge),
			Closed: i.Policy.Stale == StaleDeny, Remedy: Renew,
		})
	}
}

func (e *evaluation) sunset() {
	at := e.in.Env.SunsetAt
	if at == 0 {
		return
	}
	e.out.change(e.est, at, "SUNSET")
	if e.est >= at {
		e.out.add(Reason{Code: SunsetCode, Constraint: "SUNSET", Have: "since " + when(at)})
	}
}

// deniedGrace is how long a session goes on after a signed refusal to renew, in
// ms. Source: evaluator E5.
const deniedGrace = 60_000

// renewal: a signed refusal stops what is new at once (evaluator E5).
func (e *evaluation) renewal() {
	at := e.in.State.Denied
	if at == 0 {
		return
	}
	if e.ses != nil {
		stop := plus(at, deniedGrace)
		e.out.change(e.est, stop, "RENEWAL")
		if e.est < stop {
			return
		}
	}
	e.out.refuse(Expired, "RENEWAL", "refused by the issuer "+when(at), "a renewed license", Contact)
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
	if e.q != Secure || plus(e.est, startSkew) >= tx.HoldUntil {
		e.out.refuse(LockedInMove, "HOLD_UNTIL", when(e.est), "< "+when(tx.HoldUntil), ResumeMove)
	}
}

func (e *evaluation) levels() {
	t, p, env := &e.terms, &e.l.info.Policy, &e.in.Env
	if uint64(env.Level) < p.MinLevel {
		e.out.refuse(TREMLevel, "MIN_LEVEL", level(uint64(env.Level)), level(p.MinLevel), Contact)
	}
	if uint64(env.Anchor) < t.minAnchor() {
		e.out.refuse(TREMLevel, "MIN_ANCHOR", anchor(uint64(env.Anchor)), anchor(t.minAnchor()), Contact)
	}
}

// level and anchor name the few levels there are without making a string. What
// they are given is a floor, or below one: check lets no floor above SL3 or A2
// pass.
func level(n uint64) string { return [...]string{"SL0", "SL1", "SL2", "SL3"}[n] }

func anchor(n uint64) string { return [...]string{"A0", "A1", "A2"}[n] }

// needLevel is the condition that a better tier would be unlocked by: Rules lets
// no level above 3 pass.
func needLevel(n uint64) string {
	return [...]string{"", "TREM_LEVEL_1", "TREM_LEVEL_2", "TREM_LEVEL_3"}[n]
}

// renderer: RENDER is on something that has a name, or in a form.
func (e *evaluation) renderer() {
	r := &e.in.Request
	if e.ses == nil && r.Action == permission.Render && r.Form == FormNone && (r.Dest == nil || r.Dest.Renderer == "") {
		e.out.refuse(DestNotAllowed, "RENDERER", "none", "a named renderer, or a form", "")
	}
}
