package license

import (
	"strconv"

	"github.com/lares-drm/lares/license/permission"
)

// counts judges PLAY_COUNT and ACCUMULATED and says what is left (evaluator E4).
func (e *evaluation) counts() {
	t, s := &e.terms, &e.in.State
	if n := t.usage.PlayCount; n != 0 {
		left := s.left(permission.Play, n)
		e.out.Counters.PlaysLeft = &left
		if e.ses == nil && !e.resumes() && left == 0 {
			have := strconv.FormatUint(s.Consumed[permission.Play], 10) + " played"
			if g := s.Given[permission.Play]; g != 0 {
				have += ", " + strconv.FormatUint(g, 10) + " handed to devices"
			}
			e.out.refuse(CountExhausted, "PLAY_COUNT", have, "fewer than "+strconv.FormatUint(n, 10), Buy)
		}
		if e.ses == nil && e.resumes() {
			e.out.change(e.est, plus(s.OpenPlay.Touched, t.resumeWindow()), "PLAY_CLOSES")
		}
	}
	if total := t.usage.Accumulated; total != 0 {
		left := max(total-s.Acc, 0)
		e.out.Counters.MSLeft = &left
		// The running slice is part of Acc, so a session is judged by Extend.
		if e.ses == nil && left == 0 {
			e.out.refuse(TimeExhausted, "ACCUMULATED", span(s.Acc), "less than "+span(total), Buy)
		}
	}
	if m := e.l.units.Management; m != nil && m.Copy == permission.CopyCounted {
		left := s.left(permission.Copy, m.CopyCount)
		e.out.Counters.CopiesLeft = &left
	}
}

// resumes reports whether a new session continues the open play (E4 rules 3
// and 4).
func (e *evaluation) resumes() bool {
	t, p, r := &e.terms, e.in.State.OpenPlay, &e.in.Request
	if p == nil || r.Again || e.est-p.Touched >= t.resumeWindow() {
		return false
	}
	return !(t.nearEnd(p.Seen) && t.nearStart(r.From))
}

// nearEnd reports whether at least 90 % of the content lies before at.
func (t *terms) nearEnd(at int64) bool {
	d := t.info.Policy.Duration
	return d != 0 && at >= d-d/10
}

// nearStart reports whether at lies in the first 10 % of the content.
func (t *terms) nearStart(at int64) bool { return at < t.info.Policy.Duration/10 }

// close ends the open play; one that was not charged leaves what it rendered
// to be charged with the next.
func (s *State) close() {
	if p := s.OpenPlay; p != nil && !p.Charged {
		s.Uncharged += p.Rendered
	}
	s.OpenPlay = nil
}
