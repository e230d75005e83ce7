package license

import "github.com/lares-drm/lares/license/permission"

// clock judges how well the time is known (evaluator E1).
func (e *evaluation) clock() {
	c := e.in.Clock
	if c.Behind {
		e.out.add(Reason{Code: ClockBehind, Constraint: "CLOCK", Have: "the system's clock is behind proven time", Remedy: SyncTime})
	}
	if !e.terms.timed() || c.Q == Secure {
		return
	}
	grace := e.terms.grace(e.in.Env.Grace)
	// A TREM that was never synced has been unsynced for ever.
	if c.Q == Unset || c.Unsynced > grace {
		have := span(c.Unsynced) + " since the last sync"
		if c.Q == Unset {
			have = "never synced"
		}
		e.out.refuse(ClockStale, "CLOCK_GRACE", have, span(grace), SyncTime)
		return
	}
	e.out.change(e.est, plus(e.est, grace-c.Unsynced+1), string(ClockStale))
}

// times judges START_TIME, END_TIME, STORAGE_DURATION, INTERVAL, HARD_END and
// the membership's end (evaluator E3).
func (e *evaluation) times() {
	t, s, est := &e.terms, &e.in.State, e.est
	e.start()
	if s.FirstUse != 0 && est < s.FirstUse {
		e.out.change(est, s.FirstUse, "FIRST_USE")
		e.out.refuse(StateClockConflict, "FIRST_USE", when(est), ">= "+when(s.FirstUse), Contact)
	}
	e.membership()
	end := t.end(s.FirstUse)
	if end == never {
		return
	}
	e.out.change(est, end, "END")
	if est < end || e.inTail(end) {
		return
	}
	code, constraint := Expired, e.expired(end)
	if constraint == "INTERVAL" {
		code = IntervalOver
	}
	remedy := Buy
	if t.charge == permission.ChargeSubscription {
		remedy = Renew
	}
	e.out.refuse(code, constraint, when(est), "< "+when(end), remedy)
}

// expired names the constraint that ended the window.
func (e *evaluation) expired(end int64) string {
	t, s := &e.terms, &e.in.State
	p := &e.l.info.Policy
	switch {
	case end == p.HardEnd:
		return "HARD_END"
	case s.FirstUse != 0 && t.usage.Interval != 0 && end == plus(s.FirstUse, t.usage.Interval):
		return "INTERVAL"
	case end == t.usage.EndTime:
		return "END_TIME"
	}
	return "STORAGE_DURATION"
}

func (e *evaluation) start() {
	start := e.terms.usage.StartTime
	if start == 0 {
		return
	}
	strict := e.l.info.Policy.EmbargoStrict
	if strict && e.in.Clock.Q != Secure {
		e.out.refuse(ClockStale, "EMBARGO_STRICT", e.in.Clock.Q.String(), Secure.String(), SyncTime)
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

// membership: it bounds new sessions of time-limited licenses.
func (e *evaluation) membership() {
	s := e.l.info.Subject
	if e.ses != nil || s.Kind != SubjectDomain || !e.terms.timed() {
		return
	}
	for _, m := range e.in.Env.Domains {
		if m.Domain != s.ID || m.NotAfter == 0 {
			continue
		}
		e.out.change(e.est, m.NotAfter, "MEMBERSHIP")
		if e.est >= m.NotAfter {
			e.out.refuse(SubjectMismatch, "MEMBERSHIP", when(e.est), "< "+when(m.NotAfter), Renew)
		}
	}
}

// inTail reports whether a session that began inside the window may finish
// behind its end. The tail is fixed when the end is first found crossed.
func (e *evaluation) inTail(end int64) bool {
	if e.ses == nil || !e.terms.finish() || e.ses.Start >= end {
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
		return e.ses.TailUntil
	}
	return end
}
