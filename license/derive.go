package license

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// ErrNoRight is returned for a derivation that the parent does not permit or
// that its state no longer covers.
var ErrNoRight = errors.New("license: nothing to derive")

// Derivation is what a child license is to be.
type Derivation struct {
	Kind    DerivedKind  // KindCopy, KindLoan, KindAllowance or KindRebind; 0 means KindAllowance
	Device  ident.Device // the subject of an allowance or a re-binding, and of a copy of a device's license; other copies keep their parent's
	Subject Subject      // of a loan
	Plays   uint64       // 1 to what is left; 0 where the parent is not counted
	MS      int64        // of ACCUMULATED, 1 to what is left; 0 where the parent has none
	Copies  uint64       // copies that a copy may make itself, where the rule is INHERIT_LESS
	For     int64        // ms, of a loan
	Index   uint64       // State.NextIndex of the parent; for a copy how many were made before
	Now     int64        // Unix ms, trusted
	State   State        // the parent's, before the derivation
	Version uint64       // of the child; 0 = 1. A renewal of a loan has one more than the child that is out
}

// Share is what of a counted license goes to a child.
type Share struct {
	Plays  uint64
	MS     int64 // of ACCUMULATED
	Copies uint64
}

// Share is what the child gets.
func (d *Derivation) Share() Share { return Share{d.Plays, d.MS, d.Copies} }

// Derive makes the information of a child license: an allowance (a part of the
// parent for one device), a copy, or a loan (evaluator E4, E8, E11). A started
// INTERVAL becomes an absolute end. The child's ID follows from the parent's
// hash, the kind and the index, so the same derivation is the same license. The
// caller evaluates the permission first, debits the parent with Give or Commit,
// and signs.
//
// An INTERVAL that has not started is handed on as it is: each child starts its
// own. HARD_END and STORAGE_DURATION bound them all.
func Derive(parent *License, d Derivation) (*Info, error) {
	if d.Kind == 0 {
		d.Kind = KindAllowance
	}
	child, err := parent.child(&d)
	if err != nil {
		return nil, err
	}
	if bad := parent.units.UnknownCritical(permission.Play); len(bad) > 0 {
		return nil, fmt.Errorf("%w: %v", ErrUnknownCritical, bad)
	}
	var cu *permission.Units
	switch d.Kind {
	case KindAllowance:
		cu, err = parent.allowance(child, &d)
	case KindCopy:
		cu, err = parent.copy(child, &d)
	case KindLoan:
		cu, err = parent.loan(child, &d)
	case KindRebind:
		cu, err = parent.rebind(child, &d)
	default:
		return nil, fmt.Errorf("%w: kind %d", ErrNoRight, d.Kind)
	}
	if err != nil {
		return nil, err
	}
	return parent.finish(child, cu)
}

// child is what every child of a license that is held begins as.
func (l *License) child(d *Derivation) (*Info, error) {
	if d.State.Phase != Held || d.State.Tx != nil && d.State.Tx.Unconfirmed {
		return nil, fmt.Errorf("%w: the parent is %v", ErrNoRight, d.State.Phase)
	}
	p := &l.info
	child := &Info{
		Format: Format, ID: childID(l.Hash(), d.Kind, d.Index), Issuer: p.Issuer, IssuedAt: d.Now, Content: p.Content,
		Subject: p.Subject, Policy: p.Policy, Keys: p.Keys, RevMinEpoch: p.RevMinEpoch, RevMaxAge: p.RevMaxAge, StatusURL: p.StatusURL, Version: max(d.Version, 1),
		Parent: &Parent{Hash: l.Hash(), Kind: d.Kind, Index: d.Index, CopyGeneration: l.generation(&d.State)},
	}
	child.Policy.StorageDuration, child.Policy.Renew = 0, nil
	return child, nil
}

// finish encodes the child's code and holds the child against its parent.
func (l *License) finish(child *Info, u *permission.Units) (*Info, error) {
	if !u.Grants(permission.Play) && (child.Parent.Kind != KindLoan || !u.Grants(permission.Render)) {
		return nil, fmt.Errorf("%w: no PLAY", ErrNoRight)
	}
	code, err := u.Encode()
	if err != nil {
		return nil, fmt.Errorf("derive from license %v: %w", l.info.ID, err)
	}
	child.Code = code
	if err := Narrower(child, &l.info); err != nil {
		return nil, fmt.Errorf("derive from license %v: %w", l.info.ID, err)
	}
	return child, nil
}

func (l *License) allowance(child *Info, d *Derivation) (*permission.Units, error) {
	u := l.units
	child.Subject, child.Parent.Of = DeviceSubject(d.Device), l.playCount()
	cu := bare(u)
	return cu, l.shares(cu, u.Usage, d, false)
}

// bare is what a child that may not be handed on keeps of its parent's units
// beside the uses that it gets.
func bare(u *permission.Units) *permission.Units {
	out := &permission.Units{Profile: u.Profile, Version: u.Version, Classification: u.Classification}
	if m := u.Management; m != nil && m.Timeline != permission.TimelineAbsent {
		out.Management = &permission.ManagementUnit{Timeline: m.Timeline}
	}
	return out
}

func (l *License) copy(child *Info, d *Derivation) (*permission.Units, error) {
	r := value(l.info.Policy.Copy)
	u := *l.units
	if u.Management == nil || !u.Grants(permission.Copy) {
		return nil, fmt.Errorf("%w: no COPY", ErrNoRight)
	}
	if child.Subject.Kind == SubjectDevice {
		child.Subject = DeviceSubject(d.Device)
	}
	child.Parent.CopyGeneration++
	child.Parent.Of = copies(u.Management)
	usage := u.Usage
	m := *u.Management
	switch r.Child {
	case ChildCustom:
		custom, err := permission.Parse(r.Code)
		if err != nil {
			return nil, err
		}
		u, usage = *custom, custom.Usage
		if custom.Management != nil {
			m = *custom.Management
		} else {
			m = permission.ManagementUnit{Copy: permission.CopyNoMore}
		}
	case ChildInheritLess:
		if d.Copies > d.State.left(permission.Copy, copies(&m)) && m.Copy == permission.CopyCounted {
			return nil, fmt.Errorf("%w: %d copies to hand on", ErrNoRight, d.Copies)
		}
		if m.CopyCount = d.Copies; m.Copy != permission.CopyFree && d.Copies == 0 {
			m.Copy, m.CopyCount = permission.CopyNoMore, 0
		}
	default:
		m.Copy, m.CopyCount = permission.CopyNoMore, 0
	}
	if r.NoChildMove {
		m.Move = permission.MoveNone
	}
	u.Actor, u.Management, u.Usage = nil, &m, nil
	return &u, l.shares(&u, usage, d, r.PerInstance)
}

// LoanEnd is when a loan of so many ms that begins now is over: never behind
// the lender's own end.
func (l *License) LoanEnd(s State, now, duration int64) int64 {
	end := int64(0)
	for i := range l.units.Usage {
		t := termsOf(&l.info, l.units, &l.units.Usage[i])
		t.denied = true
		end = max(end, t.end(s.FirstUse))
	}
	return min(end, plus(now, duration))
}

// loanGrace is the most clock_grace of a loan that the lender may go on beside,
// in ms of powered-on time. Source: evaluator E1.
const loanGrace = 24 * 3600_000

func (l *License) loan(child *Info, d *Derivation) (*permission.Units, error) {
	u, until := l.units, l.LoanEnd(d.State, d.Now, d.For)
	if !u.Grants(permission.Lend) || d.For <= 0 {
		return nil, fmt.Errorf("%w: no LEND", ErrNoRight)
	}
	r := value(l.info.Policy.Lend)
	grace := int64(0)
	if r.Overlap {
		var none permission.UsageUnit
		t := termsOf(&l.info, u, &none)
		grace = min(t.grace(nil), loanGrace)
	}
	child.Subject = d.Subject
	p := &child.Policy
	p.HardEnd, p.ExpiryMode, p.FinishTail, p.ClockGrace, p.Copy, p.Transfer, p.Lend = until, ExpiryStop, nil, &grace, nil, nil, nil
	if p.Backup == BackupHousehold {
		p.Backup = BackupNone // of what is lent no household's code brings anything back
	}
	cu := bare(u)
	if _, house := l.House(); house && isOwn(l.info.Content) {
		cu.Export = u.Export
	}
	var usage []permission.UsageUnit
	for i := range u.Usage {
		if r.lends(u.Usage[i].Kind.Permission()) {
			usage = append(usage, u.Usage[i])
		}
	}
	if err := l.shares(cu, usage, d, false); err != nil {
		return nil, err
	}
	for i := range cu.Usage {
		x := &cu.Usage[i]
		x.EndTime = min(orNever(x.EndTime), until)
	}
	return cu, nil
}

// lends reports whether a borrower gets a permission.
func (r *LendRule) lends(p permission.Permission) bool {
	if len(r.Grants) == 0 {
		return p == permission.Play
	}
	return slices.Contains(r.Grants, p)
}

// shares fills the child's usage units: each one's part of the parent's.
func (l *License) shares(cu *permission.Units, usage []permission.UsageUnit, d *Derivation, whole bool) error {
	counted, accumulated := false, false
	for i := range usage {
		x, err := l.share(&usage[i], d, whole)
		if err != nil {
			return err
		}
		if x == nil {
			continue
		}
		counted, accumulated = counted || x.PlayCount != 0, accumulated || x.Accumulated != 0
		cu.Usage = append(cu.Usage, *x)
	}
	switch {
	case !counted && d.Plays != 0 && !whole:
		return fmt.Errorf("%w: not counted", ErrNoRight)
	case !accumulated && d.MS != 0 && !whole:
		return fmt.Errorf("%w: not accumulated", ErrNoRight)
	}
	return nil
}

// share is one usage unit of the child, or nil where it gets none of it. A
// whole child has the counts of its parent, not a part of what is left.
func (l *License) share(x *permission.UsageUnit, d *Derivation, whole bool) (*permission.UsageUnit, error) {
	p := x.Kind.Permission()
	if p == 0 || p == permission.Render && x.PlayCount != 0 && !whole {
		return nil, nil //nolint:nilnil // nothing of this unit
	}
	out := *x
	t := termsOf(&l.info, l.units, x)
	t.denied = true // a child is not renewed: it ends with what was sold
	end := t.storeEnd()
	if x.Interval != 0 && d.State.FirstUse != 0 {
		end, out.Interval = t.end(d.State.FirstUse), 0
	}
	if out.EndTime = 0; end != never {
		out.EndTime = end
	}
	if end <= d.Now || t.end(d.State.FirstUse) <= d.Now {
		return nil, fmt.Errorf("%w: over", ErrNoRight)
	}
	if whole {
		return &out, nil
	}
	if n := x.PlayCount; n != 0 {
		if d.Plays == 0 || d.Plays > d.State.free(n) {
			return nil, fmt.Errorf("%w: %d plays of %d left", ErrNoRight, d.Plays, d.State.free(n))
		}
		out.PlayCount = d.Plays
	}
	if x.Accumulated != 0 {
		if left := t.accLeft(&d.State); d.MS <= 0 || d.MS > left {
			return nil, fmt.Errorf("%w: %s of %s left", ErrNoRight, span(max(d.MS, 0)), span(left))
		}
		out.Accumulated = d.MS
	}
	return &out, nil
}

// DefaultShare is what a device is given that asks for so many plays (evaluator
// E4): those plays of a counted license, 10 % of an accumulated one, at most
// what is left. Of a license that is neither it is nothing.
func (l *License) DefaultShare(s State, plays uint64) Share {
	var out Share
	if l.playCount() != 0 {
		out.Plays = max(plays, 1)
	}
	for x := range l.units.EachUsage(permission.Play) {
		if x.Accumulated != 0 {
			out.MS = min(max(x.Accumulated/10, 1), l.accLeft(&s))
		}
	}
	return out
}

// Whole is all that a license has of what is counted: what its parent gets back
// when it was not taken.
func (l *License) Whole() Share {
	out := Share{Plays: l.playCount()}
	for x := range l.units.EachUsage(permission.Play) {
		out.MS = max(out.MS, x.Accumulated)
	}
	return out
}

// childID is the ID of the index-th child of a parent.
func childID(parent [32]byte, kind DerivedKind, index uint64) ident.License {
	b := append([]byte("lares child license"), parent[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(kind))
	b = binary.BigEndian.AppendUint64(b, index)
	h := sha256.Sum256(b)
	return ident.License(h[:ident.Size])
}

// free is how many plays of n can be given away: an open play that is not
// charged holds one.
func (s *State) free(n uint64) uint64 {
	left := s.left(permission.Play, n)
	if s.OpenPlay != nil && !s.OpenPlay.Charged && left > 0 {
		left--
	}
	return left
}
