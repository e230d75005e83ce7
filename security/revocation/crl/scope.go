package crl

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Object identifiers of extensions (RFC 5280 sections 4.2.1.13, 5.2 and 5.3),
// and one of our own: the head of the revocation state that a list is made of
// (docs/spec/crl.md). They are a table, because every list is held against them.
var (
	oidReason      = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidHold        = asn1.ObjectIdentifier{2, 5, 29, 23}
	oidInvalidity  = asn1.ObjectIdentifier{2, 5, 29, 24}
	oidIssuerName  = asn1.ObjectIdentifier{2, 5, 29, 18}
	oidNumber      = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidDelta       = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidScope       = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertIssuer  = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidPoints      = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityID = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidFreshest    = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidAccess      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidHead        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 32473, 6}
)

// reasons is a set of reasons, bit n for bit n of ReasonFlags (RFC 5280 section 4.2.1.13).
type reasons uint16

// allReasons are bits 1 to 8; bit 0 is unused.
const allReasons reasons = 0x1fe

func reasonsOf(b asn1.BitString) reasons {
	if b.BitLength == 0 {
		return allReasons // absent
	}
	var out reasons
	for i := 1; i <= 8; i++ {
		if b.At(i) == 1 {
			out |= 1 << i
		}
	}
	return out
}

// idpASN1 is IssuingDistributionPoint (RFC 5280 section 5.2.5).
type idpASN1 struct {
	Point     pointName      `asn1:"optional,tag:0"`
	Users     bool           `asn1:"optional,tag:1"`
	CAs       bool           `asn1:"optional,tag:2"`
	Reasons   asn1.BitString `asn1:"optional,tag:3"`
	Indirect  bool           `asn1:"optional,tag:4"`
	Attribute bool           `asn1:"optional,tag:5"`
}

// pointASN1 is DistributionPoint (RFC 5280 section 4.2.1.13).
type pointASN1 struct {
	Point   pointName      `asn1:"optional,tag:0"`
	Reasons asn1.BitString `asn1:"optional,tag:1"`
	Issuer  asn1.RawValue  `asn1:"optional,tag:2"`
}

type pointName struct {
	Full     []asn1.RawValue `asn1:"optional,tag:0"`
	Relative asn1.RawValue   `asn1:"optional,tag:1"`
}

// exactly reads DER of one form only: encoding/asn1 passes over what follows
// the fields that it knows.
func exactly[T any](der []byte, into *T) bool {
	rest, err := asn1.Unmarshal(der, into)
	if err != nil || len(rest) > 0 {
		return false
	}
	again, err := asn1.Marshal(*into)
	return err == nil && bytes.Equal(again, der)
}

// names are the general names of a point, in DER. One relative to the issuer's
// name is not understood; crypto/x509 parses no certificate that has one.
func (p *pointName) names() (out []string, ok bool) {
	for _, n := range p.Full {
		out = append(out, string(n.FullBytes))
	}
	return out, len(p.Relative.FullBytes) == 0
}

// directoryName is the GeneralName of a distinguished name, in DER.
func directoryName(name []byte) string {
	der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name})
	if err != nil {
		return ""
	}
	return string(der)
}

// scope is what a list is about.
type scope struct {
	raw        []byte // the extension's value, nil when there is none: lists and deltas of one scope have the same
	names      []string
	users, cas bool // only those
	reasons    reasons
}

func (l *List) readScope(der []byte) error {
	var a idpASN1
	if !exactly(der, &a) {
		return broken(RuleEncoding, "issuing distribution point")
	}
	names, ok := a.Point.names()
	switch {
	case !ok:
		return broken(RuleEncoding, "issuing distribution point")
	case a.Indirect:
		return broken(RuleIndirect, "")
	case a.Attribute, a.Users && a.CAs:
		return broken(RuleScope, "about no certificate of public keys")
	}
	l.scope = scope{raw: der, names: names, users: a.Users, cas: a.CAs, reasons: reasonsOf(a.Reasons)}
	return nil
}

// point is one place where a certificate says that its status is found.
type point struct {
	names   []string
	reasons reasons
}

// pointsOf reads a certificate's distribution points; of one that names none,
// its issuer's name is the point (RFC 5280 section 6.3.3).
func pointsOf(c *x509.Certificate) ([]point, error) {
	var out []point
	indirect, found := false, false
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidPoints) {
			continue
		}
		found = true
		var all []pointASN1
		if !exactly(e.Value, &all) {
			return nil, broken(RulePoint, "malformed")
		}
		for _, a := range all {
			names, ok := a.Point.names()
			if !ok {
				return nil, broken(RulePoint, "malformed")
			}
			if len(a.Issuer.FullBytes) > 0 {
				indirect = true
				continue
			}
			out = append(out, point{names: names, reasons: reasonsOf(a.Reasons)})
		}
	}
	if !found {
		return []point{{names: []string{directoryName(c.RawIssuer)}, reasons: allReasons}}, nil
	}
	if len(out) == 0 && indirect {
		return nil, broken(RuleIndirect, "the certificate names another issuer of lists")
	}
	return out, nil
}

// covers reports whether a list of this scope is about the certificate, as one
// of the point.
func (s *scope) covers(c *x509.Certificate, p point) bool {
	ca := c.BasicConstraintsValid && c.IsCA
	if s.users && ca || s.cas && !ca {
		return false
	}
	return len(s.names) == 0 || slices.ContainsFunc(s.names, func(n string) bool { return slices.Contains(p.names, n) })
}
