package pki

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Object identifiers. 1.3.6.1.4.1.32473 is IANA's documentation enterprise
// number (RFC 5612); the project has none of its own yet. Below it, local,
// docs/spec/certificates.md: 1.r role EKU, 2.l level policy, 3.a anchor policy,
// 4 member extension, 5 SLTP extension.
func oid(arcs ...uint64) asn1.ObjectIdentifier {
	id := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473}
	for _, a := range arcs {
		id = append(id, int(a)) //nolint:gosec // small constants
	}
	return id
}

func (r Role) oid() asn1.ObjectIdentifier { return oid(1, uint64(r)) }

func memberOID() asn1.ObjectIdentifier { return oid(4) }

func sltpOID() asn1.ObjectIdentifier { return oid(5) }

func policyOID(arc, n uint64) x509.OID {
	id, err := x509.OIDFromInts([]uint64{1, 3, 6, 1, 4, 1, 32473, arc, n})
	if err != nil {
		panic(err) //nolint:forbidigo // nine valid arcs are an OID
	}
	return id
}

func (l Level) oid() x509.OID  { return policyOID(2, uint64(l)) }
func (a Anchor) oid() x509.OID { return policyOID(3, uint64(a)) }

// roleOf reads a role EKU.
func roleOf(id asn1.ObjectIdentifier) (Role, bool) {
	base := oid(1)
	if len(id) != len(base)+1 || !slices.Equal(id[:len(base)], base) || id[len(base)] > int(TimeSigner) {
		return 0, false
	}
	r := Role(id[len(base)]) //nolint:gosec // at most TimeSigner
	return r, r.Valid()
}

// policiesOf sorts policy OIDs into levels and anchors; ok is false for any other policy and for one named twice.
func policiesOf(ids []x509.OID) (levels []Level, anchors []Anchor, ok bool) {
	for _, id := range ids {
		switch {
		case id.Equal(SL1.oid()), id.Equal(SL2.oid()), id.Equal(SL3.oid()):
			for l := SL1; l <= SL3; l++ {
				if id.Equal(l.oid()) && !slices.Contains(levels, l) {
					levels = append(levels, l)
				}
			}
		case id.Equal(A0.oid()), id.Equal(A1.oid()), id.Equal(A2.oid()):
			for a := A0; a <= A2; a++ {
				if id.Equal(a.oid()) && !slices.Contains(anchors, a) {
					anchors = append(anchors, a)
				}
			}
		default:
			return nil, nil, false
		}
	}
	return levels, anchors, len(levels)+len(anchors) == len(ids)
}
