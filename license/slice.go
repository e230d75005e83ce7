package license

import (
	"math"

	"github.com/lares-drm/lares/license/permission"
)

// advance is how much accumulated time is charged ahead under an NV anchor, in
// ms. Source: evaluator E4.
const advance = 600_000

// release covers the fragment: by the running slice, or by a new one that is
// reserved in the state. It reports false, with the decision refused, where no
// time is left.
func (x *extension) release(st *State) bool {
	ses, t := &x.step.Session, &x.terms
	before := max(ses.wall(x.f.WallMS), x.l.media(ses.tracks)) // used so far
	tr := x.track()
	tr.bytes += uint64(x.f.Bytes) //nolint:gosec // not negative
	tr.durMS = plus(tr.durMS, x.f.DurMS)
	media := x.l.media(ses.tracks)
	running := ses.wallLen > 0 && x.f.WallMS >= ses.wallFrom && x.f.WallMS < ses.wallFrom+ses.wallLen && x.est < ses.StopAt
	covered := max(before, media) <= ses.reserved && (t.usage.Accumulated == 0 || t.accUsed(max(before, media), ses.tracks, x.l) <= ses.accTaken)
	if running && (covered || !t.stateful()) {
		x.slice(ses.wallFrom+ses.wallLen-x.f.WallMS, media)
		return true
	}
	ses.wallDone, ses.wallFrom = ses.wall(x.f.WallMS), x.f.WallMS
	length := min(t.slice(), x.stopsAt()-x.est)
	grow := max(before+length, media) - ses.reserved
	if t.usage.Accumulated != 0 && !x.accumulate(st, before, media, &length, &grow) {
		x.step.Decision.refuse(TimeExhausted, "ACCUMULATED", span(st.Acc), "less than "+span(t.usage.Accumulated-st.GivenMS), Buy)
		return false
	}
	ses.wallLen, ses.StopAt = length, x.stopsAt()
	if t.stateful() {
		x.reserve(st, max(grow, 0), max(before, media))
	} else if t.noSkip {
		x.step.Commit = true
	}
	x.slice(length, media)
	return true
}

// accumulate takes accumulated time for a slice of a length, or for as much of
// it as is left, and reports whether that suffices. Under an NV anchor it is
// taken in advance, so that the slices inside need no anchor.
func (x *extension) accumulate(st *State, before, media int64, length, grow *int64) bool {
	ses, t := &x.step.Session, &x.terms
	left := t.accLeft(st)
	need := func() int64 { // what must be taken in all
		used := t.accUsed(max(before, media), ses.tracks, x.l)
		if t.info.Policy.AccumulatedBy == AccumulatedMedia {
			return used
		}
		return max(before+*length, media)
	}
	if more := need() - ses.accTaken; more > left {
		if t.info.Policy.AccumulatedBy == AccumulatedMedia {
			return false
		}
		*length -= more - left
		*grow = max(before+*length, media) - ses.reserved
		if *length <= 0 || need()-ses.accTaken > left {
			return false
		}
	}
	take := max(need()-ses.accTaken, 0)
	switch {
	case take == 0:
	case x.in.Env.Anchor >= 2:
		take = max(take, min(advance, left))
		x.step.Anchor = true
	case t.info.Policy.AccumulatedBy == AccumulatedMedia:
		take = max(take, min(t.slice(), left))
	}
	ses.accTaken += take
	st.Acc += take
	return true
}

// reserve takes ms in advance, and charges the play or sets the first use when
// the slice reaches their thresholds. used is what the session has used so far.
func (x *extension) reserve(st *State, ms, used int64) {
	ses, t := &x.step.Session, &x.terms
	ses.reserved += ms
	t.grow(st, ms)
	if st.FirstUse == 0 && st.Pending > t.firstUseThreshold() {
		st.FirstUse, st.Pending = ses.Start, 0
		x.step.Anchor = true
	}
	if p := st.OpenPlay; p != nil && x.in.Request.Action == permission.Play {
		p.Touched = max(p.Touched, x.est)
		if !p.Charged && p.Rendered+st.Uncharged >= t.countThreshold() {
			p.Charged, st.Uncharged = true, 0
			st.consume(permission.Play)
			x.step.Anchor = true
		}
	}
	if x.in.Request.Action == permission.Render && t.usage.PlayCount != 0 && !ses.charged {
		ses.charged = true
		st.consume(permission.Render)
		x.step.Anchor = true
	}
	if t.counted() || st.Pending > 0 || x.step.Anchor || t.noSkip {
		ahead := ses.reserved - used
		if t.usage.Accumulated != 0 {
			ahead = ses.accTaken - t.accUsed(used, ses.tracks, x.l)
		}
		st.Slice = &Reserve{Until: plus(x.est, ses.wallLen), MS: max(ahead, 0)}
		x.step.Commit = true
	}
}

// slice says what of the running slice is left.
func (x *extension) slice(length, media int64) {
	ses := &x.step.Session
	s := Slice{MS: length, Until: plus(x.est, length), Bytes: math.MaxUint64}
	if ref := x.l.key(x.f.KID); x.terms.stateful() && ref.BPS != 0 {
		left := uint64(max(ses.reserved-media, 0)) // not negative
		s.Bytes = min(mulDiv(left, ref.BPS, 1000), mulDiv(uint64(max(length, 0)), ref.BPS+ref.BPS/4, 1000)+sliceSlack)
	}
	x.step.Slice = s
	x.step.Decision.SliceMS = length
}

// mark records how far the key and the play have come. That a play was seen to
// its end is durable before the fragment is out.
func (x *extension) mark(st *State) {
	ses, tr := &x.step.Session, x.track()
	at := min(x.f.MediaMS+x.f.DurMS, maxTime)
	if x.terms.noSkip {
		st.Seen = max(st.Seen, at)
	}
	if tr.stale && x.f.MediaMS >= tr.last {
		tr.last = x.f.MediaMS
		return
	}
	tr.stale, tr.last = false, x.f.MediaMS
	tr.mark = max(tr.mark, at)
	ses.At = max(ses.At, at)
	if p := st.OpenPlay; p != nil && x.in.Request.Action == permission.Play && at > p.Seen {
		if x.terms.nearEnd(at) && !x.terms.nearEnd(p.Seen) {
			x.step.Commit = true
		}
		p.Seen = at
	}
}

// End closes a session cleanly: what the last slice reserved and did not use
// is given back. The open play stays open. wallMS is ms since Begin.
func (l *License) End(ses Session, in Input, wallMS int64) Step {
	st := in.State.clone()
	est := max(in.Clock.Est, in.Clock.Lo, in.Clock.LoIss, st.LoLic)
	ses.wallDone, ses.wallLen = ses.wall(wallMS), 0
	noSkip := false
	if ses.unit > 0 {
		t := termsOf(&l.info, l.units, &l.units.Usage[ses.unit-1])
		noSkip = t.noSkip
		ses.refund(&t, &st, l)
	}
	step := Step{State: st, Session: ses, Decision: Decision{Allow: true, Action: in.Request.Action, License: l.info.ID}}
	if st.Slice == nil && st.OpenPlay == nil && !noSkip {
		return step
	}
	step.State.Slice = nil
	if p := step.State.OpenPlay; p != nil {
		p.Touched = max(p.Touched, est)
	}
	step.State.LastUse = max(est, st.LastUse)
	step.State.Ver++
	step.Commit = true
	return step
}
