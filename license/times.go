package license

import "github.com/lares-drm/lares/license/permission"

// clock judges how well the time is known (evaluator E1).
func (e *evaluation) clock() {
	c := &e.in.Clock
	if c.Behind {
		e.out.add(Reason{Code: ClockBehind, Constraint: "CLOCK", Have: "the system's clock is behind proven time", Remedy: SyncTime})
	}
	if !e.terms.timed() || e.q == Secure {
		return
	}
	grace := e.terms.grace(e.in.Env.Grace)
	// A TREM that was never synced has been unsynced for ever.
	if e.q == Unset || c.Unsynced > grace {
		have := "never synced"
		if e.q != Unset {
			have = span(c.Unsynced) + " since the last sync"
		}
		e.out.refuse(ClockStale, "CLOCK_GRACE", have, span(grace), SyncTime)
		return
	}
	e.out.change(e.est, e.passed(grace-c.Unsynced+1), string(ClockStale))
}

// passed is what the time will be when the power has been on for ms more: the
// clock goes on from its own estimate, which may lie behind a floor.
func (e *evaluation) passed(ms int64) int64 {
	if ms <= 0 {
		return e.est
	}
	c := &e.in.Clock
	return max(plus(max(c.Est, c.Lo), ms), e.est+1)
}

// start judges START_TIME (evaluator E3).
func (e *evaluation) start() {
	start := e.terms.usage.StartTime
	if start == 0 {
		return
	}
	strict := e.l.info.Policy.EmbargoStrict
	if strict && e.q != Secure {
		e.out.refuse(ClockStale, "EMBARGO_STRICT", e.q.String(), Secure.String(), SyncTime)
	}
	from := start
	if !strict {
		from = max(start-startSkew, 1)
	}
	e.out.change(e.est, from, "START_TIME")
	if e.est < from {
		e.out.add(Reason{Code: NotYet, Constraint: "START_TIME", Have: when(e.est), Need: ">= " + when(start), Closed: true, Earliest: from, Remedy: WaitUntil})
	}
}

// firstUse: a state of the future was tampered with, because lo travels with it.
func (e *evaluation) firstUse() {
	if first := e.in.State.FirstUse; e.est < first {
		e.out.change(e.est, first, "FIRST_USE")
		e.out.refuse(StateClockConflict, "FIRST_USE", when(e.est), ">= "+when(first), Contact)
	}
}

// membership: it bounds new sessions of time-limited licenses.
func (e *evaluation) membership() {
	s := &e.l.info.Subject
	if e.ses != nil || s.Kind != SubjectDomain || !e.terms.timed() {
		return
	}
	m := e.in.Env.membership(s.ID)
	if m == nil || m.NotAfter == 0 {
		return
	}
	e.out.change(e.est, m.NotAfter, "MEMBERSHIP")
	if e.est >= m.NotAfter {
		e.out.refuse(SubjectMismatch, "MEMBERSHIP", when(e.est), "< "+when(m.NotAfter), Renew)
	}
}

// end judges END_TIME, STORAGE_DURATION, INTERVAL, HARD_END and recovery.
func (e *evaluation) end() {
	end := e.terms.end(e.in.State.FirstUse)
	if end == never {
		return
	}
	e.out.change(e.est, end, "END")
	if e.est < end || e.inTail(end) {
		return
	}
	code, constraint := Expired, e.expired(end)
	if constraint == "INTERVAL" {
		code = IntervalOver
	}
	remedy := Buy
	if e.terms.charge == permission.ChargeSubscription {
		remedy = Renew
	}
	e.out.refuse(code, constraint, when(e.est), "< "+when(end), remedy)
	e.ahead(end)
}

// ahead says that only the system's clock is past an end, which proven time is not:
// who is refused by it learns that the clock may be wrong, and what settles it.
func (e *evaluation) ahead(end int64) {
	c := &e.in.Clock
	proven := max(c.Lo, c.LoIss, e.in.State.LoLic)
	if c.Q != Anchored || proven >= end || e.out.Has(ClockAhead) {
		return
	}
	e.out.add(Reason{Code: ClockAhead, Constraint: "CLOCK", Have: "the system's clock says " + when(e.est) + ", the last proven time is " + when(proven), Need: "proven time", Remedy: SyncTime})
}

// expired names the constraint that ended the window.
func (e *evaluation) expired(end int64) string {
	t, s, p := &e.terms, &e.in.State, &e.l.info.Policy
	switch {
	case end == p.HardEnd:
		return "HARD_END"
	case s.FirstUse != 0 && t.usage.Interval != 0 && end == plus(s.FirstUse, t.usage.Interval):
		return "INTERVAL"
	case end == t.usage.EndTime:
		return "END_TIME"
	case p.StorageDuration != 0 && end == plus(e.l.info.IssuedAt, p.StorageDuration):
		return "STORAGE_DURATION"
	}
	return "RECOVERY"
}

// inTail reports whether a session that began inside the window may finish
// behind its end. The tail is fixed when the end is first found crossed.
func (e *evaluation) inTail(end int64) bool {
	if e.ses == nil || !e.terms.finish() || e.ses.Start >= end || e.in.State.Denied != 0 {
		return false
	}
	if e.ses.TailFor != end {
		e.ses.TailFor, e.ses.TailUntil = end, plus(end, e.terms.tail(e.ses.At))
	}
	e.out.change(e.est, e.ses.TailUntil, "FINISH_TAIL")
	return e.est < e.ses.TailUntil
}

// stopsAt is when a running session must be judged again at the latest.
func (e *evaluation) stopsAt() int64 {
	end := e.terms.end(e.in.State.FirstUse)
	if e.est >= end && e.ses != nil && e.ses.TailFor == end {
		end = e.ses.TailUntil
	}
	if at := e.in.State.Denied; at != 0 {
		end = min(end, plus(at, deniedGrace))
	}
	return end
}
