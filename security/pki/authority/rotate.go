package authority

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lares-drm/lares/security/pki"
)

// addRoot makes one more root, and has the last one say that it is trusted.
func (a *Authority) addRoot(now time.Time) error {
	n := len(a.rec.Roots)
	r := root{Key: keyOf(RootClass)}
	name := a.rec.Config.Name + " Root"
	if n > 0 {
		name += " " + strconv.Itoa(n+1)
		r.Key = "key-root-" + strconv.Itoa(n+1) + ".pem"
	}
	key, err := a.newKey(r.Key, UseRoot)
	if err != nil {
		return err
	}
	r.Cert, err = pki.IssueRoot(key, pki.Profile{
		Name: name, Member: a.next(RootClass), CA: &pki.CA{PathLen: 2, Range: pki.Range{First: 0, Last: pki.MaxClass}},
	}, now)
	if err != nil {
		return err
	}
	if n > 0 {
		last := &a.rec.Roots[n-1]
		signer, err := a.key(last.Key)
		if err != nil {
			return fmt.Errorf("the last root signs the new one: %w", err)
		}
		if r.Rotation, err = pki.SignRotation(signer, last.Cert, r.Cert, uint64(n), now); err != nil {
			return err
		}
	}
	a.rec.Next[uint32(RootClass)]++
	a.rec.Roots = append(a.rec.Roots, r)
	return nil
}

// trustRoots trusts the roots that sign or have signed, as everybody is to.
func (a *Authority) trustRoots() (err error) {
	if a.trust, err = pki.NewTrustStore(a.rec.Roots[0].Cert); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	if a.trust, err = a.trust.Follow(nil, a.rotations()); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	return nil
}

// rotations are the statements that lead from the first root to the one that signs.
func (a *Authority) rotations() [][]byte {
	out := [][]byte{}
	for _, r := range a.rec.Roots[1 : a.rec.Active+1] {
		out = append(out, r.Rotation)
	}
	return out
}

// RotateRoot puts the next root in the place of the one that signs: a spare one
// of the ceremony, whose statement is signed already, or else a new one, for
// which the old root's key signs now. The first-level CAs and the signers are
// certified under it for the keys that they have, and a new epoch is published.
// The old root stays trusted until its place is revoked (EndRoot).
func (a *Authority) RotateRoot(now time.Time) error {
	if len(a.rec.Roots) >= pki.MaxRoots {
		return fmt.Errorf("%w: %d roots", pki.ErrRotation, len(a.rec.Roots))
	}
	if a.rec.Active+1 == len(a.rec.Roots) {
		if err := a.addRoot(now); err != nil {
			return err
		}
	}
	a.rec.Active++
	if err := a.trustRoots(); err != nil {
		return err
	}
	for i := range a.rec.CAs {
		if len(a.rec.CAs[i].Chain) == 1 {
			if err := a.recertify(i, now); err != nil {
				return err
			}
		}
	}
	if err := a.nameSigner(); err != nil { // who trusts the new root alone must read it, too
		return err
	}
	a.rec.State, a.rec.Time = signer{}, signer{} // Publish makes them anew, for their keys
	return a.Publish(now)
}

// recertify gives a first-level CA a certificate of the root for its key, and
// puts it into the chains of the CAs below.
func (a *Authority) recertify(i int, now time.Time) error {
	c := &a.rec.CAs[i]
	old, err := x509.ParseCertificate(c.Chain[0])
	if err != nil {
		return fmt.Errorf("authority: %s: %w", c.Name, err)
	}
	up, err := a.ca(RootClass)
	if err != nil {
		return err
	}
	der, err := pki.Issue(up, a.caProfile(RootClass, c), old.PublicKey, now)
	if err != nil {
		return fmt.Errorf("certify %s: %w", c.Name, err)
	}
	a.rec.Next[uint32(RootClass)]++
	for j := range a.rec.CAs {
		chain := a.rec.CAs[j].Chain
		if last := len(chain) - 1; slices.Equal(chain[last], old.Raw) {
			a.rec.CAs[j].Chain = append(slices.Clone(chain[:last]), der)
		}
	}
	return nil
}

// EndRoot revokes the places of the roots before the one that signs. It takes
// effect by Publish: certificates under them then pass with nobody who knows
// the new epoch.
func (a *Authority) EndRoot() error {
	if a.rec.Active == 0 {
		return fmt.Errorf("%w: there is none before the root that signs", ErrNoClass)
	}
	for _, i := range a.rootPlaces()[:a.rec.Active] {
		if err := a.draft.RevokeDevice(RootClass, i); err != nil {
			return err
		}
	}
	return nil
}

// rootPlaces are the indexes of all roots in class 0, as Roots has them.
func (a *Authority) rootPlaces() []uint32 {
	out := make([]uint32, len(a.rec.Roots))
	for i, r := range a.rec.Roots {
		if c, err := x509.ParseCertificate(r.Cert); err == nil {
			_, m, _ := pki.SplitSerial(c.SerialNumber)
			out[i] = m.Index
		}
	}
	return out
}
