package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Object identifiers. 1.3.6.1.4.1.32473 is IANA's documentation enterprise
// number (RFC 5612); the project has none of its own yet. Below it, local,
// docs/spec/certificates.md: 1.r role EKU, 2.l level policy, 3.a anchor policy,
// 4 member extension, 5 SLTP extension, 6 head of a CRL (security/revocation/crl),
// 7 module extension and 8 renews extension of signing requests. They are tables, because every
// certificate is held against them.
var (
	roleBase  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 1}
	memberOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 4}
	sltpOID   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 5}
	moduleOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 7}
	renewsOID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 8}

	nameConstraintsOID = asn1.ObjectIdentifier{2, 5, 29, 30} // RFC 5280 section 4.2.1.10

	levelOIDs  = [...]x509.OID{SL1: policyOID(2, 1), SL2: policyOID(2, 2), SL3: policyOID(2, 3)}
	anchorOIDs = [...]x509.OID{A0: policyOID(3, 0), A1: policyOID(3, 1), A2: policyOID(3, 2)}
)

func policyOID(arc, n uint64) x509.OID {
	id, err := x509.OIDFromInts([]uint64{1, 3, 6, 1, 4, 1, 32473, arc, n})
	if err != nil {
		panic(err) //nolint:forbidigo // nine valid arcs are an OID
	}
	return id
}

func (r Role) oid() asn1.ObjectIdentifier { return append(slices.Clip(roleBase), int(r)) }

// oid is that of a level; of none that there is, an OID that no certificate has.
func (l Level) oid() x509.OID {
	if !l.Valid() {
		return policyOID(2, uint64(l))
	}
	return levelOIDs[l]
}

func (a Anchor) oid() x509.OID {
	if !a.Valid() {
		return policyOID(3, uint64(a))
	}
	return anchorOIDs[a]
}

// roleOf reads a role EKU.
func roleOf(id asn1.ObjectIdentifier) (Role, bool) {
	last := len(roleBase)
	if len(id) != last+1 || !slices.Equal(id[:last], roleBase) || id[last] > int(TimeSigner) {
		return 0, false
	}
	r := Role(id[last]) //nolint:gosec // at most TimeSigner
	return r, r.Valid()
}

// policiesOf sorts policy OIDs into levels and anchors; ok is false for any other policy and for one named twice.
func policiesOf(ids []x509.OID) (levels []Level, anchors []Anchor, ok bool) {
	for _, id := range ids {
		if l := Level(slices.IndexFunc(levelOIDs[SL1:], id.Equal) + int(SL1)); l.Valid() { //nolint:gosec // at most SL3
			if slices.Contains(levels, l) {
				return nil, nil, false
			}
			levels = append(levels, l)
			continue
		}
		a := slices.IndexFunc(anchorOIDs[:], id.Equal)
		if a < 0 || slices.Contains(anchors, Anchor(a)) { //nolint:gosec // at most A2
			return nil, nil, false
		}
		anchors = append(anchors, Anchor(a)) //nolint:gosec // at most A2
	}
	return levels, anchors, true
}
