package license

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// Reserve evaluates COPY, TRANSFER, or RENDER in a form, and takes one unit of
// its count, where it has one, before anything leaves. The step is durable and
// anchored before that. Commit consumes the unit when what it was taken for is
// durable elsewhere, Release gives it back when the abort is proven (evaluator
// E4).
func (l *License) Reserve(in Input) Step {
	step := Step{State: in.State}
	e := evaluation{l: l, in: &in, out: &step.Decision}
	e.run()
	action := in.Request.Action
	if step.Decision.Allow && (action == permission.Play || action == permission.Render && in.Request.Form == FormNone) {
		step.Decision.refuse(NoGrant, action.String(), "a session", "Begin", "")
	}
	e.confirmed()
	if !step.Decision.Allow {
		return step
	}
	st := in.State.clone()
	if e.use() { // a rendition is a use at once
		step.Commit = e.remember(&st)
		if e.terms.usage.Interval != 0 && st.FirstUse == 0 {
			st.FirstUse, st.Pending = e.est, 0
			step.Commit, step.Anchor = true, true
		}
	}
	if l.count(action, e.unit) != 0 {
		st.Reserved = add1(st.Reserved, action)
		step.Commit, step.Anchor = true, true
	}
	if step.Commit {
		st.Ver++
		step.State = st
	}
	return step
}

// count is how often the license grants an action in all; 0 = not counted.
func (l *License) count(p permission.Permission, unit int) uint64 {
	m := l.units.Management
	switch {
	case p == permission.Copy:
		return copies(m)
	case p == permission.Transfer && m != nil:
		return m.Transfer
	case p == permission.Render || p == permission.Play:
		return l.units.Usage[unit].PlayCount
	}
	return 0
}

// Commit consumes a unit that Reserve took. A TRANSFER that is done at a time
// (Unix ms) begins its cooldown.
func (s State) Commit(p permission.Permission, now int64) (State, error) {
	next, err := s.Release(p)
	if err != nil {
		return s, err
	}
	next.Consumed = add1(next.Consumed, p)
	if p == permission.Transfer {
		next.LastTransfer = now
	}
	return next, nil
}

// Release gives back a unit that Reserve took. One that was not taken is
// ErrNoRight.
func (s State) Release(p permission.Permission) (State, error) {
	if s.Reserved[p] == 0 {
		return s, fmt.Errorf("%w: no %v is in progress", ErrNoRight, p)
	}
	s = s.clone()
	if s.Reserved[p]--; s.Reserved[p] == 0 {
		delete(s.Reserved, p)
	}
	if len(s.Reserved) == 0 {
		s.Reserved = nil
	}
	s.Ver++
	return s, nil
}

// add1 counts one more of p in a map that may be nil. The map is the caller's own.
func add1(m map[permission.Permission]uint64, p permission.Permission) map[permission.Permission]uint64 {
	if m == nil {
		m = map[permission.Permission]uint64{}
	}
	m[p] = add(m[p], 1)
	return m
}

// Deny records the issuer's signed refusal to renew, made at a time (Unix ms).
// The first one counts.
func (s State) Deny(at int64) State {
	if s.Denied != 0 {
		return s
	}
	s = s.clone()
	s.Denied = at
	s.Ver++
	return s
}

// Supersedes checks that l is a renewal of old (same issuer and ID, higher
// version) or a continuation of it (field 16), for the same content and
// subject. Every failure wraps ErrInvalid.
func (l *License) Supersedes(old *License) error {
	a, b := &l.info, &old.info
	switch {
	case a.Issuer != b.Issuer:
		return fmt.Errorf("%w: another issuer", ErrInvalid)
	case a.Content != b.Content:
		return fmt.Errorf("%w: another content", ErrInvalid)
	case a.Subject.Kind != b.Subject.Kind || a.Subject.ID != b.Subject.ID || a.Subject.Generation < b.Subject.Generation:
		return fmt.Errorf("%w: another subject", ErrInvalid)
	case a.ID == b.ID && a.Version <= b.Version:
		return fmt.Errorf("%w: version %d is not above %d", ErrInvalid, a.Version, b.Version)
	case a.ID != b.ID && (a.Continues == nil || a.Continues.ID != b.ID || a.Continues.Issuer != b.Issuer):
		return fmt.Errorf("%w: a new license, which continues no other", ErrInvalid)
	}
	return nil
}

// Continue gives the state of old to l, which supersedes it: first use, counts
// and accumulated time stay, a refusal to renew is over (evaluator E5).
func (l *License) Continue(old *License, s State) (State, error) {
	if err := l.Supersedes(old); err != nil {
		return s, err
	}
	s = s.clone()
	s.Denied = 0
	s.Ver++
	return s, nil
}

// Carry moves a session that runs under old to l, which supersedes it, so that
// a renewal interrupts nobody: to the first unit of the same kind and part. It
// fails, and the session is over, where there is none or where a key that is in
// use is not in l. A tail is fixed anew.
func (l *License) Carry(old *License, ses Session) (Session, bool) {
	if ses.unit == 0 {
		return ses, false
	}
	was := &old.units.Usage[ses.unit-1]
	i := slices.IndexFunc(l.units.Usage, func(x permission.UsageUnit) bool { return x.Kind == was.Kind && bytes.Equal(x.Part, was.Part) })
	gone := func(kid ident.Key) bool { return l.key(kid) == nil }
	if i < 0 || slices.ContainsFunc(ses.KIDs, gone) {
		return ses, false
	}
	ses.unit, ses.TailFor, ses.TailUntil = i+1, 0, 0
	return ses, true
}

// Bounds of the pauses between tries to renew, in ms. Source: evaluator E5.
const (
	renewRetry    = 30_000
	renewRetryMax = 600_000
)

// RenewAt is when to ask for a renewal next, Unix ms: tries is how often it was
// asked for without an answer, last when, and jitter a random number from 0 to
// 1 by the caller. It is 0 for a license that is not renewed.
func (l *License) RenewAt(tries uint, last int64, jitter float64) int64 {
	r := l.info.Policy.Renew
	var none permission.UsageUnit
	t := termsOf(&l.info, l.units, &none)
	for i := range l.units.Usage {
		if x := termsOf(&l.info, l.units, &l.units.Usage[i]); i == 0 || x.sold() > t.sold() {
			t = x
		}
	}
	if r == nil || t.sold() == never {
		return 0
	}
	if tries == 0 {
		if r.After != 0 {
			return plus(l.info.IssuedAt, r.After)
		}
		return plus(l.info.IssuedAt, (t.sold()-l.info.IssuedAt)/2)
	}
	pause := int64(renewRetry)
	if r.Retry != 0 {
		pause = r.Retry
	}
	for range min(tries-1, 16) {
		pause = max(pause, min(pause*2, renewRetryMax))
	}
	spread := 0.8 + 0.4*min(max(jitter, 0), 1)
	return plus(last, int64(float64(pause)*spread))
}

// After is the input as it will be ms later when the power stays on and nothing
// is heard from anybody: for time lines, and to see before a trip what will not
// last.
func (in Input) After(ms int64) Input {
	in.Clock.Est = plus(max(in.Clock.Est, in.Clock.Lo), ms)
	in.Clock.Unsynced = plus(in.Clock.Unsynced, ms)
	in.Env.StatusAge = plus(in.Env.StatusAge, ms)
	return in
}

// clone copies what the pointers and maps hold.
func (s State) clone() State {
	s.Consumed, s.Given, s.Reserved = maps.Clone(s.Consumed), maps.Clone(s.Given), maps.Clone(s.Reserved)
	s.OpenPlay, s.Slice, s.Tx, s.Loan, s.Region = copyOf(s.OpenPlay), copyOf(s.Slice), copyOf(s.Tx), copyOf(s.Loan), copyOf(s.Region)
	return s
}
