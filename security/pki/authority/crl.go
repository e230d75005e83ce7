package authority

import (
	"crypto/x509"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/lares-drm/lares/security/pki"
	"github.com/lares-drm/lares/security/revocation"
	"github.com/lares-drm/lares/security/revocation/crl"
)

// CRL is one exported list (RFC 5280), of one CA.
type CRL struct {
	Class   pki.Class // that the CA issues
	CAs     bool      // about CA certificates: an authority revocation list
	Number  uint64    // the epoch
	Base    uint64    // of a delta: the epoch that it builds on; 0 for a complete list
	Entries int
	DER     []byte
}

// CRLs exports the published state as lists: for each parent an ARL of the CAs
// below it, for each CA that certifies parties a CRL. With a base, an epoch
// that is still kept, they are deltas from there, and a class that was not
// there then has none. Without classes all are made; a CA that is revoked or
// retired has none, because it stands on its parent's. Source: docs/spec/crl.md.
func (a *Authority) CRLs(base uint64, classes ...pki.Class) ([]CRL, error) {
	now := &view{a: a, state: a.state}
	var old *view
	if base > 0 {
		s, err := a.StateAt(base)
		if err != nil {
			return nil, err
		}
		old = &view{a: a, state: s}
	}
	var out []CRL
	for _, l := range a.state.Leaves() {
		if len(classes) > 0 && !slices.Contains(classes, l.Class) || l.Status == revocation.Revoked || l.Status == revocation.Retired {
			continue
		}
		if old != nil {
			if _, known := old.state.Leaf(l.Class); !known {
				continue
			}
		}
		for _, cas := range a.scopes(l.Class) {
			c, err := now.list(l.Class, cas, old)
			if err != nil {
				return nil, err
			}
			out = append(out, *c)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: none of these has a list", ErrNoClass)
	}
	return out, nil
}

// scopes are the lists of the CA that issues a class: the root certifies CAs
// and signers, a manufacturer CAs only, everybody else parties only.
func (a *Authority) scopes(class pki.Class) []bool {
	c := a.find(class)
	switch {
	case class == RootClass:
		return []bool{true, false}
	case c != nil && c.First != c.Last:
		return []bool{true}
	}
	return []bool{false}
}

// view is a state, as lists see it.
type view struct {
	a     *Authority
	state *revocation.State
}

// list signs the list of one scope; old is the view of the base, or nil.
func (v *view) list(class pki.Class, cas bool, old *view) (*CRL, error) {
	reasons, err := v.reasons(class, cas)
	if err != nil {
		return nil, err
	}
	head := v.state.Head()
	hash := head.Hash()
	c := crl.Content{
		Number: new(big.Int).SetUint64(head.Epoch.Number), ThisUpdate: unixMS(head.IssuedAt), NextUpdate: unixMS(head.NextUpdate),
		CAs: cas, Head: hash[:],
	}
	out := &CRL{Class: class, CAs: cas, Number: head.Epoch.Number}
	if old != nil {
		before, err := old.reasons(class, cas)
		if err != nil {
			return nil, err
		}
		reasons = changes(before, reasons)
		out.Base = old.state.Epoch().Number
		c.Base = new(big.Int).SetUint64(out.Base)
	}
	c.Entries = entries(class, cas, reasons)
	out.Entries = len(c.Entries)
	ca, err := v.a.ca(class)
	if err != nil {
		return nil, err
	}
	der := ca.Root
	if len(ca.Chain) > 0 {
		der = ca.Chain[0]
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: CA of class %v: %w", class, err)
	}
	out.DER, err = crl.Issue(cert, ca.Signer, c)
	return out, err
}

// reasons are the members of a scope that do not stand, with the reason.
func (v *view) reasons(class pki.Class, cas bool) (map[uint32]revocation.Reason, error) {
	out := map[uint32]revocation.Reason{}
	below := v.a.below(class)
	for i := range v.state.Members(class) {
		if class == RootClass && slices.Contains(v.a.rootPlaces(), i) {
			continue // no root is on a list: nobody above it signs one
		}
		if _, ca := below[i]; ca == cas {
			out[i] = revocation.Unspecified
		}
	}
	if cas {
		for i, c := range below {
			if l, ok := v.state.Leaf(c); ok && l.Status != revocation.Active {
				out[i] = standing(l)
			}
		}
		return out, nil
	}
	leaf, _ := v.state.Leaf(class)
	if leaf.MinSVN == 0 {
		return out, nil
	}
	issued, err := v.a.Issued(class)
	if err != nil {
		return nil, err
	}
	for _, e := range issued {
		if _, revoked := out[e.Index]; !revoked && e.SVN < leaf.MinSVN {
			out[e.Index] = revocation.Superseded
		}
	}
	return out, nil
}

// standing is the reason for which a CA is on its parent's list: what a
// suspension is called there can be taken back, the others cannot.
func standing(l revocation.Leaf) revocation.Reason {
	switch {
	case l.Status == revocation.Suspended:
		return revocation.CertificateHold
	case l.Status == revocation.Retired && l.Reason == revocation.Unspecified:
		return revocation.Cessation
	case l.Reason == revocation.CertificateHold: // for good, whatever was said
		return revocation.Unspecified
	}
	return l.Reason
}

// below are the CAs that the CA of a class has certified: index to the class
// that each issues.
func (a *Authority) below(class pki.Class) map[uint32]pki.Class {
	out := map[uint32]pki.Class{}
	for _, c := range a.rec.CAs {
		cert, err := x509.ParseCertificate(c.Chain[0])
		if err != nil {
			continue // Open has read it
		}
		if _, m, ok := pki.SplitSerial(cert.SerialNumber); ok && m.Class == class {
			out[m.Index] = pki.Class(c.First)
		}
	}
	return out
}

// removed is the reason by which a delta takes a member off again (RFC 5280 section 5.3.1).
const removed revocation.Reason = 8

// changes is what a delta says.
func changes(old, now map[uint32]revocation.Reason) map[uint32]revocation.Reason {
	out := map[uint32]revocation.Reason{}
	for i, r := range now {
		if before, ok := old[i]; !ok || before != r {
			out[i] = r
		}
	}
	for i := range old {
		if _, ok := now[i]; !ok {
			out[i] = removed
		}
	}
	return out
}

// entries lists the certificates of members: of a CA one, of a party one for
// each kind of key that it may have. The date is the beginning of all epochs:
// the state does not keep when a member was revoked, and who judges an old
// signature by the date must not find it good.
func entries(class pki.Class, cas bool, reasons map[uint32]revocation.Reason) []crl.Entry {
	kinds := []pki.KeyKind{pki.KindSigning, pki.KindECDH, pki.KindRSA}
	if cas || class == RootClass {
		kinds = kinds[:1]
	}
	out := make([]crl.Entry, 0, len(kinds)*len(reasons))
	for _, i := range slices.Sorted(maps.Keys(reasons)) {
		for _, k := range kinds {
			out = append(out, crl.Entry{Serial: pki.Serial(k, pki.Member{Class: class, Index: i}), Reason: int(reasons[i]), Revoked: revocation.T0()})
		}
	}
	return out
}
