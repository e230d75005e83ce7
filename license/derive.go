package license

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/license/permission"
)

// ErrNoRight is returned for a derivation that the parent does not permit or
// that its state no longer covers.
var ErrNoRight = errors.New("license: nothing to derive")

// Derivation is what a child license is to be.
type Derivation struct {
	Device ident.Device // the child's subject
	Plays  uint64       // 1 to what is left; 0 where the parent is not counted
	Index  uint64       // State.NextIndex of the parent
	Now    int64        // Unix ms, trusted
	State  State        // the parent's, before the derivation
}

// Derive makes the information of an allowance (Parent.Kind 3): a part of the
// parent for one device, PLAY and RENDER only. A started INTERVAL becomes an
// absolute end. The child's ID follows from the parent's hash and the index, so
// the same derivation is the same license. The caller debits the parent with
// Give and signs.
//
// An INTERVAL that has not started is handed on as it is: each device starts
// its own. HARD_END and STORAGE_DURATION bound them all.
func Derive(parent *License, d Derivation) (*Info, error) {
	p, u := &parent.info, parent.units
	if d.State.Phase != Held || d.State.Tx != nil && d.State.Tx.Unconfirmed {
		return nil, fmt.Errorf("%w: the parent is %v", ErrNoRight, d.State.Phase)
	}
	if bad := u.UnknownCritical(permission.Play); len(bad) > 0 {
		return nil, fmt.Errorf("%w: %v", ErrUnknownCritical, bad)
	}
	child := &Info{
		Format: Format, ID: childID(parent.Hash(), KindAllowance, d.Index), Issuer: p.Issuer, IssuedAt: d.Now, Content: p.Content,
		Subject: DeviceSubject(d.Device), Policy: p.Policy, Keys: p.Keys, RevMinEpoch: p.RevMinEpoch, RevMaxAge: p.RevMaxAge, StatusURL: p.StatusURL, Version: 1,
	}
	child.Policy.StorageDuration = 0
	of := uint64(0)
	cu := &permission.Units{Profile: u.Profile, Version: u.Version, Classification: u.Classification}
	for i := range u.Usage {
		x, err := share(parent, &u.Usage[i], d)
		if err != nil {
			return nil, err
		}
		if x == nil {
			continue
		}
		if x.Kind == permission.Playback {
			of = u.Usage[i].PlayCount
		}
		cu.Usage = append(cu.Usage, *x)
	}
	if !cu.Grants(permission.Play) {
		return nil, fmt.Errorf("%w: no PLAY", ErrNoRight)
	}
	code, err := cu.Encode()
	if err != nil {
		return nil, fmt.Errorf("derive from license %v: %w", p.ID, err)
	}
	child.Code = code
	child.Parent = &Parent{Hash: parent.Hash(), Kind: KindAllowance, Index: d.Index, Of: of}
	if p.Parent != nil {
		child.Parent.CopyGeneration = p.Parent.CopyGeneration
	}
	if err := Narrower(child, p); err != nil {
		return nil, fmt.Errorf("derive from license %v: %w", p.ID, err)
	}
	return child, nil
}

// share is one usage unit of the child, or nil where it gets none of it.
func share(parent *License, x *permission.UsageUnit, d Derivation) (*permission.UsageUnit, error) {
	p := x.Kind.Permission()
	if p == 0 || p == permission.Render && x.PlayCount != 0 {
		return nil, nil //nolint:nilnil // nothing of this unit
	}
	if x.Accumulated != 0 {
		return nil, fmt.Errorf("%w: ACCUMULATED cannot be split yet", ErrNoRight)
	}
	out := *x
	t := termsOf(&parent.info, parent.units, x)
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
	if x.PlayCount != 0 {
		if d.Plays == 0 || d.Plays > d.State.free(x.PlayCount) {
			return nil, fmt.Errorf("%w: %d plays of %d left", ErrNoRight, d.Plays, d.State.free(x.PlayCount))
		}
		out.PlayCount = d.Plays
	} else if p == permission.Play && d.Plays != 0 {
		return nil, fmt.Errorf("%w: not counted", ErrNoRight)
	}
	return &out, nil
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

// Give debits an allowance of so many plays (0 where not counted) and uses up
// its index. The sum of allowances, remainder and consumed plays stays n.
func (l *License) Give(s State, plays uint64) (State, error) {
	for _, x := range l.units.UsageFor(permission.Play) {
		if x.PlayCount != 0 && (plays == 0 || plays > s.free(x.PlayCount)) {
			return s, fmt.Errorf("%w: %d plays of %d left", ErrNoRight, plays, s.free(x.PlayCount))
		}
	}
	s = s.clone()
	if plays > 0 {
		if s.Given == nil {
			s.Given = map[permission.Permission]uint64{}
		}
		s.Given[permission.Play] += plays
	}
	s.NextIndex++
	s.Ver++
	return s, nil
}

// TakeBack credits plays of an allowance that was refused or returned; its
// index stays used. More than was given is ErrNoRight.
func (s State) TakeBack(plays uint64) (State, error) {
	if plays > s.Given[permission.Play] {
		return s, fmt.Errorf("%w: %d plays back, %d given", ErrNoRight, plays, s.Given[permission.Play])
	}
	s = s.clone()
	if s.Given[permission.Play] -= plays; s.Given[permission.Play] == 0 {
		delete(s.Given, permission.Play)
	}
	if len(s.Given) == 0 {
		s.Given = nil
	}
	s.Ver++
	return s, nil
}
