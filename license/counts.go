package license

import (
	"strconv"

	"github.com/lares-drm/lares/license/permission"
)

// counts judges PLAY_COUNT and ACCUMULATED and says what is left (evaluator E4).
func (e *evaluation) counts() {
	t, s, action := &e.terms, &e.in.State, e.in.Request.Action
	if n := t.usage.PlayCount; n != 0 {
		left := s.left(action, n)
		e.out.Counters.PlaysLeft = keep(e.spare.PlaysLeft, left)
		if e.ses == nil && !e.resumes() && left == 0 {
			e.exhausted(action, "PLAY_COUNT", n, Buy)
		}
		if e.ses == nil && e.resumes() {
			e.out.change(e.est, plus(s.OpenPlay.Touched, t.resumeWindow()), "PLAY_CLOSES")
		}
	}
	if t.usage.Accumulated != 0 {
		left := t.accLeft(s)
		e.out.Counters.MSLeft = keep(e.spare.MSLeft, left)
		// The running slice is part of Acc, so a session is judged by Extend.
		if e.ses == nil && left == 0 {
			e.out.refuse(TimeExhausted, "ACCUMULATED", span(s.Acc), "less than "+span(t.usage.Accumulated-s.GivenMS), Buy)
		}
	}
	e.copiesLeft()
}

func (e *evaluation) copiesLeft() {
	if n := copies(e.l.units.Management); n != 0 {
		e.out.Counters.CopiesLeft = keep(e.spare.CopiesLeft, e.in.State.left(permission.Copy, n))
	}
}

// copies is how many copies the license grants in all; 0 = none or not counted.
func copies(m *permission.ManagementUnit) uint64 {
	switch {
	case m == nil:
		return 0
	case m.Copy == permission.CopyCounted:
		return m.CopyCount
	case m.Copy == permission.CopyOnce:
		return 1
	}
	return 0
}

// keep stores a counter where one was stored before, so that a decision that is
// used again allocates nothing.
func keep[T any](at *T, v T) *T {
	if at == nil {
		at = new(T)
	}
	*at = v
	return at
}

// exhausted refuses for want of a unit of n.
func (e *evaluation) exhausted(p permission.Permission, constraint string, n uint64, remedy Remedy) {
	s := &e.in.State
	have := strconv.FormatUint(s.Consumed[p], 10) + " used"
	if g := s.Given[p]; g != 0 {
		have += ", " + strconv.FormatUint(g, 10) + " handed to others"
	}
	if r := s.Reserved[p]; r != 0 {
		have += ", " + strconv.FormatUint(r, 10) + " in progress"
	}
	e.out.refuse(CountExhausted, constraint, have, "fewer than "+strconv.FormatUint(n, 10), remedy)
}

// resumes reports whether a new session continues the open play (E4 rules 3
// and 4).
func (e *evaluation) resumes() bool {
	t, p, r := &e.terms, e.in.State.OpenPlay, &e.in.Request
	if p == nil || r.Action != permission.Play || r.Again || e.est-p.Touched >= t.resumeWindow() {
		return false
	}
	return !(t.nearEnd(p.Seen) && t.nearStart(r.From))
}

// timeline: what was not seen is not skipped (TIMELINE = NO_SKIP).
func (e *evaluation) timeline() {
	if e.ses == nil && e.terms.noSkip && e.in.Request.From > e.in.State.Seen {
		e.skipped(e.in.Request.From)
	}
}

func (e *evaluation) skipped(at int64) {
	e.out.refuse(NoGrant, "TIMELINE", span(at)+" into the content", "at most "+span(e.in.State.Seen), "")
}

// nearEnd reports whether at least 90 % of the content lies before at.
func (t *terms) nearEnd(at int64) bool {
	d := t.info.Policy.Duration
	return d != 0 && at >= d-d/10
}

// nearStart reports whether at lies in the first 10 % of the content.
func (t *terms) nearStart(at int64) bool { return at < t.info.Policy.Duration/10 }

// accLeft is what is left of ACCUMULATED, in ms.
func (t *terms) accLeft(s *State) int64 {
	return max(t.usage.Accumulated-s.GivenMS-s.Acc, 0)
}

// close ends the open play; one that was not charged leaves what it rendered
// to be charged with the next.
func (s *State) close() {
	if p := s.OpenPlay; p != nil && !p.Charged {
		s.Uncharged += p.Rendered
	}
	s.OpenPlay = nil
}
