package license

import (
	"math"

	"github.com/lares-drm/lares/license/permission"
)

// release covers the fragment: by the running slice, or by a new one that is
// reserved in the state. It reports false, with the decision refused, where no
// time is left.
func (x *extension) release(st *State) bool {
	ses, t := &x.step.Session, &x.terms
	before := x.l.media(ses.tracks)
	x.track().bytes += uint64(x.f.Bytes) //nolint:gosec // not negative
	media := x.l.media(ses.tracks)
	running := ses.wallLen > 0 && x.f.WallMS >= ses.wallFrom && x.f.WallMS < ses.wallFrom+ses.wallLen && x.est < ses.StopAt
	if running && max(ses.wall(x.f.WallMS), media) <= ses.reserved || running && !t.stateful() {
		x.slice(ses.wallFrom+ses.wallLen-x.f.WallMS, media)
		return true
	}
	ses.wallDone, ses.wallFrom = ses.wall(x.f.WallMS), x.f.WallMS
	length := min(t.slice(), x.stopsAt()-x.est)
	used := max(ses.wallDone, before)
	grow := max(used+length, media) - ses.reserved
	if total := t.usage.Accumulated; total != 0 {
		left := total - st.Acc
		if grow > left {
			length -= grow - left
			grow = max(used+length, media) - ses.reserved
		}
		if left <= 0 || length <= 0 || grow > left {
			x.step.Decision.refuse(TimeExhausted, "ACCUMULATED", span(st.Acc), "less than "+span(total), Buy)
			return false
		}
	}
	ses.wallLen, ses.StopAt = length, x.stopsAt()
	if t.stateful() {
		x.reserve(st, max(grow, 0))
	}
	x.slice(length, media)
	return true
}

// reserve takes ms in advance, and charges the play or sets the first use when
// the slice reaches their thresholds.
func (x *extension) reserve(st *State, ms int64) {
	ses, t := &x.step.Session, &x.terms
	ses.reserved += ms
	t.grow(st, ms)
	if st.FirstUse == 0 && st.Pending > t.firstUseThreshold() {
		st.FirstUse, st.Pending = ses.Start, 0
		x.step.Anchor = true
	}
	if p := st.OpenPlay; p != nil {
		p.Touched = x.est
		if !p.Charged && p.Rendered+st.Uncharged >= t.countThreshold() {
			p.Charged, st.Uncharged = true, 0
			st.consume(permission.Play)
			x.step.Anchor = true
		}
	}
	if t.counted() || st.Pending > 0 || x.step.Anchor {
		st.Slice = &Reserve{Until: plus(x.est, ses.wallLen), MS: ms}
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
	if tr.stale && x.f.MediaMS >= tr.last {
		tr.last = x.f.MediaMS
		return
	}
	tr.stale, tr.last = false, x.f.MediaMS
	tr.mark = max(tr.mark, at)
	ses.At = max(ses.At, at)
	if p := st.OpenPlay; p != nil && at > p.Seen {
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
	est := max(in.Clock.Est, in.Clock.Lo, st.LoLic)
	ses.wallDone, ses.wallLen = ses.wall(wallMS), 0
	if units := l.units.UsageFor(permission.Play); len(units) > 0 {
		t := termsOf(&l.info, l.units, &units[0])
		ses.refund(&t, &st, l.media(ses.tracks))
	}
	step := Step{State: st, Session: ses, Decision: Decision{Allow: true, Action: permission.Play, License: l.info.ID}}
	if st.Slice != nil || st.OpenPlay != nil {
		step.State.Slice = nil
		if p := step.State.OpenPlay; p != nil {
			p.Touched = max(p.Touched, est)
		}
		step.State.LastUse = max(est, st.LastUse)
		step.State.Ver++
		step.Commit = true
	}
	return step
}
