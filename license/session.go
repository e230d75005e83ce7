package license

import (
	"math"
	"math/bits"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// sliceSlack is what a slice may decrypt beyond 1.25 times its time at the
// tier's peak rate, in bytes. Source: evaluator E4.
const sliceSlack = 4 << 20

// Session is a running use: Begin makes it, the caller keeps it in memory
// beside the state and gives it back to Extend and End. A session that is lost
// in a crash is simply gone: what it had reserved stays used.
type Session struct {
	Start     int64 // Unix ms
	TailFor   int64 // the window end that was crossed, and
	TailUntil int64 // when the tail behind it ends
	At        int64 // media ms: the furthest point of this session
	StopAt    int64 // Unix ms: judge again at the latest
	Tier      Tier
	KIDs      []ident.Key
	unit      int   // 1 + index of the usage unit; 0 = not begun
	wallDone  int64 // ms of wall time in slices that are over
	wallFrom  int64 // the running slice, in ms since Begin
	wallLen   int64
	reserved  int64 // ms taken in advance by all slices so far
	accTaken  int64 // ms taken of ACCUMULATED, reserve and advance included
	noStart   bool  // resumed behind the start of a play seen to its end
	charged   bool  // a counted RENDER has taken its unit
	tracks    []track
}

// track is what a session knows of one key.
type track struct {
	kid   ident.Key
	bytes uint64
	durMS int64 // of all fragments, repeats included
	mark  int64 // media ms: the furthest end of a fragment
	last  int64 // media ms of the last fragment
	stale bool  // still in the play before the restart
}

// Slice is the release of decryption that covers what was asked for.
type Slice struct {
	MS    int64  // length
	Until int64  // Unix ms
	Bytes uint64 // of this key that the slice still covers; MaxUint64 where use is not counted
}

// Step is the outcome of Begin, Extend and End. The caller goes on with State
// and Session. With Commit it makes State durable before the effect is visible,
// with Anchor anchored too. A step that is not allowed changes nothing.
type Step struct {
	State    State
	Session  Session
	Slice    Slice
	Decision Decision
	Commit   bool
	Anchor   bool
}

// Begin opens a session of PLAY or RENDER (evaluator E4). The open play is
// resumed, or closed and a new one opened, which needs a unit. The first use of
// a license with INTERVAL needs Request.Confirm, one with a report
// Request.Consent.
//
// One instance has one session at a time: the caller ends or drops the one
// before.
func (l *License) Begin(in Input) Step {
	step := Step{State: in.State}
	e := evaluation{l: l, in: &in, out: &step.Decision}
	e.run()
	d := &step.Decision
	if d.Allow && !e.use() {
		d.refuse(NoGrant, in.Request.Action.String(), "not a use", "Reserve, or the transfer", "")
	}
	e.confirmed()
	if !d.Allow {
		return step
	}
	t := &e.terms
	st := in.State.clone()
	step.Commit = st.Slice != nil
	st.Slice = nil // of a session that crashed: its reserve is used
	step.Session = Session{Start: e.est, StopAt: e.stopsAt(), Tier: d.Tier, KIDs: d.KIDs, At: in.Request.From, unit: e.unit + 1}
	if in.Request.Action == permission.Play && t.usage.PlayCount != 0 {
		resumed := e.resumes()
		if !resumed {
			st.open(e.est)
		}
		st.OpenPlay.Touched = max(st.OpenPlay.Touched, e.est)
		step.Session.noStart = resumed && t.nearEnd(st.OpenPlay.Seen)
		step.Commit, step.Anchor = true, true
	}
	if t.usage.Accumulated != 0 && in.Env.Anchor >= 2 {
		step.Session.accTaken = min(advance, t.accLeft(&st))
		st.Acc += step.Session.accTaken
		st.Slice = &Reserve{Until: e.est, MS: step.Session.accTaken}
		step.Commit, step.Anchor = true, true
	}
	if e.remember(&st) {
		step.Commit = true
	}
	if step.Commit {
		st.LastUse = e.est
		st.Ver++
	}
	d.SliceMS = t.slice()
	step.State = st
	return step
}

// confirmed refuses what the user was to be shown or asked before, and was not.
func (e *evaluation) confirmed() {
	d, r := e.out, &e.in.Request
	if !d.Allow {
		return
	}
	for _, c := range d.Confirm {
		switch {
		case c.Kind == StartsInterval && !r.Confirm:
			d.add(Reason{Code: NeedsConfirm, Constraint: string(c.Kind), Need: when(c.Until), Closed: true})
		case c.Kind == Metered && !r.Consent:
			d.add(Reason{Code: NeedsConfirm, Constraint: string(c.Kind), Need: c.What + " to " + c.To, Closed: true})
		}
	}
}

// remember writes into the state what a new session found out: consent, and
// the region. It reports whether anything changed.
func (e *evaluation) remember(st *State) bool {
	p := &e.l.info.Policy
	changed := false
	if p.Report != nil && !st.Consented && slices.ContainsFunc(e.out.Confirm, func(c Confirm) bool { return c.Kind == Metered }) {
		st.Consented, changed = true, true
	}
	return st.remember(e.place, p.Region, e.est) || changed
}

// open closes the open play and opens the next; the caller has checked that a
// unit is left.
func (s *State) open(now int64) {
	id := uint64(1)
	if s.OpenPlay != nil {
		id = s.OpenPlay.ID + 1
	} else {
		id += s.Consumed[permission.Play]
	}
	s.close()
	s.OpenPlay = &OpenPlay{ID: id, Touched: now}
}

// Fragment is what is about to be decrypted.
type Fragment struct {
	KID     ident.Key
	Bytes   int64 // protected bytes; repeats count again
	MediaMS int64 // media time of its start
	DurMS   int64
	WallMS  int64 // monotonic ms since Begin
}

// Extend judges and releases a fragment. Where the running slice does not cover
// it, a further one is reserved: a state to commit first. What is used is the
// longer of the wall time of the slices and the bytes at peak rate; picture
// tiers add up, other keys run beside them.
func (l *License) Extend(ses Session, in Input, f Fragment) Step {
	x := &extension{l: l, f: f, step: Step{State: in.State, Session: ses}}
	x.evaluation = evaluation{l: l, in: &in, out: &x.step.Decision, ses: &x.step.Session}
	x.step.Session.tracks = slices.Clone(ses.tracks)
	if !x.run() {
		return Step{State: in.State, Session: ses, Decision: x.step.Decision}
	}
	return x.step
}

type extension struct {
	evaluation
	l    *License
	f    Fragment
	step Step
}

func (x *extension) run() bool {
	f := &x.f
	if x.l.key(f.KID) == nil || f.Bytes < 0 || f.MediaMS < 0 || f.DurMS < 0 || f.WallMS < 0 || f.MediaMS > maxTime || f.DurMS > maxTime {
		x.step.Decision = Decision{Action: permission.Play, License: x.l.info.ID}
		x.step.Decision.refuse(KeyNotGranted, "KID", f.KID.String(), "a key of the license", "")
		return false
	}
	x.in.Request.KID = f.KID
	x.evaluation.run()
	if !x.step.Decision.Allow {
		return false
	}
	x.step.Session.unit = x.unit + 1
	x.step.Session.KIDs, x.step.Session.Tier = x.step.Decision.KIDs, x.step.Decision.Tier
	st := x.in.State.clone()
	if x.terms.noSkip && f.MediaMS > plus(max(st.Seen, x.step.Session.At), x.terms.slice()) {
		x.skipped(f.MediaMS)
		return false
	}
	if x.in.Request.Action == permission.Play && x.terms.usage.PlayCount != 0 && x.restarts(&st) && !x.again(&st) {
		return false
	}
	if !x.pays(&st) || !x.release(&st) {
		return false
	}
	x.mark(&st)
	if x.step.Commit {
		st.LastUse = x.est
		st.Ver++
	}
	x.step.State = st
	return true
}

// pays refuses the first slice of a counted RENDER session where the unit that
// was left at Begin has gone elsewhere since.
func (x *extension) pays(st *State) bool {
	n := x.terms.usage.PlayCount
	if x.in.Request.Action != permission.Render || n == 0 || x.step.Session.charged || st.left(permission.Render, n) > 0 {
		return true
	}
	x.exhausted(permission.Render, "PLAY_COUNT", n, Buy)
	return false
}

// restarts reports whether the fragment begins the content again after at
// least 90 % of it was seen, in media time as the TREM sees it.
func (x *extension) restarts(st *State) bool {
	t, p := &x.terms, st.OpenPlay
	if p == nil {
		return true
	}
	if !t.nearEnd(p.Seen) || !t.nearStart(x.f.MediaMS) {
		return false
	}
	tr := x.track()
	return x.step.Session.noStart || t.nearEnd(tr.mark)
}

// again closes the play and opens the next inside the running session, or
// refuses where a new session would be refused. Keys that are still at the end
// of the old play leave no mark in the new one until they jump back.
func (x *extension) again(st *State) bool {
	ses := &x.step.Session
	x.settle(st)
	probe := *x.in
	probe.State, probe.Request.Again = *st, true
	probe.Env.Slots, probe.Env.Offline = nil, false // the session goes on in the place that it has
	e := evaluation{l: x.l, in: &probe, out: &x.step.Decision}
	if e.run(); !x.step.Decision.Allow {
		return false
	}
	st.open(x.est)
	ses.noStart, ses.At = false, 0
	for i := range ses.tracks {
		ses.tracks[i].mark, ses.tracks[i].stale = 0, ses.tracks[i].kid != x.f.KID
	}
	x.step.Commit, x.step.Anchor = true, true
	return true
}

// settle ends the running slice and gives back what was not used of it.
func (x *extension) settle(st *State) {
	ses := &x.step.Session
	ses.wallDone, ses.wallFrom, ses.wallLen = ses.wall(x.f.WallMS), x.f.WallMS, 0
	ses.refund(&x.terms, st, x.l)
	st.Slice = nil
}

// refund gives back the part of the reserve that neither wall time nor media
// have used, and of accumulated time its own.
func (s *Session) refund(t *terms, st *State, l *License) {
	used := max(s.wallDone, l.media(s.tracks))
	ms := max(s.reserved-used, 0)
	s.reserved -= ms
	t.grow(st, -ms)
	if t.usage.Accumulated != 0 {
		back := max(s.accTaken-t.accUsed(used, s.tracks, l), 0)
		s.accTaken -= back
		st.Acc = max(st.Acc-back, 0)
	}
}

// grow adds ms, which may be negative, to the rendered time that thresholds are
// judged by.
func (t *terms) grow(st *State, ms int64) {
	if st.OpenPlay != nil && t.usage.Kind == permission.Playback && t.usage.PlayCount != 0 {
		st.OpenPlay.Rendered = max(st.OpenPlay.Rendered+ms, 0)
	}
	if st.FirstUse == 0 {
		st.Pending = max(st.Pending+ms, 0)
	}
}

// accUsed is what a session has used of ACCUMULATED: used, or by MEDIA the
// fragments' own time, at least their bytes at peak rate.
func (t *terms) accUsed(used int64, tracks []track, l *License) int64 {
	if t.info.Policy.AccumulatedBy != AccumulatedMedia {
		return used
	}
	ms := l.media(tracks)
	for i := range tracks {
		ms = max(ms, tracks[i].durMS)
	}
	return ms
}

// wall is the wall time used at a time since Begin, in ms: pauses behind the
// end of a slice are not use.
func (s *Session) wall(at int64) int64 {
	return s.wallDone + min(max(at-s.wallFrom, 0), s.wallLen)
}

// track is the session's record of the fragment's key, made when new.
func (x *extension) track() *track {
	ses := &x.step.Session
	i := slices.IndexFunc(ses.tracks, func(t track) bool { return t.kid == x.f.KID })
	if i < 0 {
		ses.tracks = append(ses.tracks, track{kid: x.f.KID})
		i = len(ses.tracks) - 1
	}
	return &ses.tracks[i]
}

// media is what the bytes decrypted so far come to at peak rate, in ms.
func (l *License) media(tracks []track) int64 {
	var picture, other uint64
	for _, tr := range tracks {
		ref := l.key(tr.kid)
		if ref == nil || ref.BPS == 0 {
			continue
		}
		ms := mulDiv(tr.bytes, 1000, ref.BPS)
		if ref.Tier.picture() {
			picture = add(picture, ms)
		} else {
			other = max(other, ms)
		}
	}
	return int64(min(max(picture, other), maxTime)) // <= 2^53
}

// mulDiv is a*b/c rounded up, saturating.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return math.MaxUint64
	}
	q, r := bits.Div64(hi, lo, c)
	if r != 0 {
		q = add(q, 1)
	}
	return q
}
