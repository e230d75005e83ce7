package license

import (
	"fmt"

	"github.com/lares-drm/lares/license/permission"
)

// Give debits what goes to a child and uses up its index. The sum of what was
// given, what is reserved, what was consumed and what is left stays n.
func (l *License) Give(s State, x Share) (State, error) {
	if n := l.playCount(); n != 0 && x.Plays > s.free(n) {
		return s, fmt.Errorf("%w: %d plays of %d left", ErrNoRight, x.Plays, s.free(n))
	}
	if n := copies(l.units.Management); x.Copies > s.left(permission.Copy, n) {
		return s, fmt.Errorf("%w: %d copies of %d left", ErrNoRight, x.Copies, s.left(permission.Copy, n))
	}
	if left := l.accLeft(&s); x.MS < 0 || x.MS > left {
		return s, fmt.Errorf("%w: %s of %s left", ErrNoRight, span(max(x.MS, 0)), span(left))
	}
	s = s.clone()
	for p, n := range map[permission.Permission]uint64{permission.Play: x.Plays, permission.Copy: x.Copies} {
		if n == 0 {
			continue
		}
		if s.Given == nil {
			s.Given = map[permission.Permission]uint64{}
		}
		s.Given[p] += n
	}
	s.GivenMS += x.MS
	s.NextIndex++
	s.Ver++
	return s, nil
}

// Left is what of a counted license can go to a child, or back to what it is a
// part of.
func (l *License) Left(s State) Share {
	out := Share{MS: l.accLeft(&s)}
	if n := l.playCount(); n != 0 {
		out.Plays = s.free(n)
	}
	return out
}

// accLeft is what is left of the accumulated time of the license, in ms.
func (l *License) accLeft(s *State) int64 {
	for i := range l.units.Usage {
		if l.units.Usage[i].Accumulated != 0 {
			t := termsOf(&l.info, l.units, &l.units.Usage[i])
			return t.accLeft(s)
		}
	}
	return 0
}

// TakeBack credits what of a child was refused or returned; its index stays
// used. More than was given is ErrNoRight.
func (s State) TakeBack(x Share) (State, error) {
	if x.Plays > s.Given[permission.Play] || x.Copies > s.Given[permission.Copy] || x.MS < 0 || x.MS > s.GivenMS {
		return s, fmt.Errorf("%w: more comes back than was given", ErrNoRight)
	}
	s = s.clone()
	for p, n := range map[permission.Permission]uint64{permission.Play: x.Plays, permission.Copy: x.Copies} {
		if n == 0 {
			continue
		}
		if s.Given[p] -= n; s.Given[p] == 0 {
			delete(s.Given, p)
		}
	}
	if len(s.Given) == 0 {
		s.Given = nil
	}
	s.GivenMS -= x.MS
	s.Ver++
	return s, nil
}

// CopyIndex is the index of the next copy: how many were made before, where the
// license counts them, else the next index of all children.
func (l *License) CopyIndex(s State) uint64 {
	if copies(l.units.Management) == 0 {
		return s.NextIndex
	}
	return add(s.Consumed[permission.Copy], s.Given[permission.Copy])
}

// CopySplits reports whether a copy takes a part of what is counted: the rule's
// default is that counts are shared, not doubled (evaluator E8).
func (l *License) CopySplits() bool {
	return !value(l.info.Policy.Copy).PerInstance
}

// Spent is what of a license was used, as RETURNED says it: of a counted one
// plays, one that is begun and not charged included; of an accumulated one ms.
func (l *License) Spent(s State) uint64 {
	if l.playCount() == 0 {
		return uint64(max(s.Acc, 0))
	}
	n := s.Consumed[permission.Play]
	if s.OpenPlay != nil && !s.OpenPlay.Charged {
		n++
	}
	return n
}

// Settle ends a child that was lent or set aside: of its share what was spent
// (as Spent says it) is used up, the rest is the parent's again. A child of
// which nothing is known has spent all of it.
func (s State) Settle(x Share, spent uint64) (State, error) {
	next, err := s.TakeBack(x)
	if err != nil {
		return s, err
	}
	plays, ms := min(spent, x.Plays), x.MS
	if x.Plays == 0 {
		ms = int64(min(spent, uint64(x.MS))) //nolint:gosec // not above x.MS
	} else if plays == 0 {
		ms = 0
	}
	if next.Acc += ms; plays > 0 {
		if next.Consumed == nil {
			next.Consumed = map[permission.Permission]uint64{}
		}
		next.Consumed[permission.Play] = add(next.Consumed[permission.Play], plays)
	}
	return next, nil
}

// Keep leaves n plays of a counted license, and takes the others as used, and
// with n = 0 all accumulated time: what an arbiter gives back is less what may
// have been used elsewhere. A play that is begun and not charged is one of the
// n; of none it is over.
func (l *License) Keep(s State, n uint64) State {
	left := s.left(permission.Play, l.playCount())
	lost := int64(0)
	if n == 0 {
		lost = l.accLeft(&s)
	}
	if left <= n && lost == 0 {
		return s
	}
	s = s.clone()
	if n == 0 && s.OpenPlay != nil && !s.OpenPlay.Charged {
		s.OpenPlay = nil
	}
	if s.Acc += lost; left <= n {
		s.Ver++
		return s
	}
	if s.Consumed == nil {
		s.Consumed = map[permission.Permission]uint64{}
	}
	s.Consumed[permission.Play] = add(s.Consumed[permission.Play], left-n)
	s.Ver++
	return s
}

// TransferCooldown is how long, in ms, a license stays with a new subject before
// it may change again (evaluator E10).
func (l *License) TransferCooldown() int64 {
	r := value(l.info.Policy.Transfer)
	return r.cooldown()
}
