package crl

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// MaxList is the longest list in bytes that Parse reads: two million
// certificates. Source: local, docs/spec/crl.md.
const MaxList = 128 << 20

// removeFromCRL is the reason by which a delta takes a certificate off (RFC 5280 section 5.3.1).
const removeFromCRL = 8

// List is a CRL as read, complete or delta. Nothing is trusted of it: Checker
// holds it against a certificate's issuer each time.
type List struct {
	x       *x509.RevocationList
	base    *big.Int       // of a delta; nil for a complete list
	scope   scope          // zero but for reasons without an issuing distribution point
	head    []byte         // hash of the head of the revocation state that it was made of, or nil
	reasons map[string]int // by serial number
	held    map[[sha256.Size]byte]error
}

// Parse reads a list in DER. What makes a list unusable for anybody is refused
// here: another version, no number, an unknown critical extension, an indirect
// or malformed scope, a certificate named twice.
func Parse(der []byte) (*List, error) {
	if len(der) > MaxList {
		return nil, broken(RuleEncoding, "%d bytes", len(der))
	}
	x, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, broken(RuleEncoding, "")
	}
	l := &List{x: x, scope: scope{reasons: allReasons}, held: map[[sha256.Size]byte]error{}}
	if x.Number == nil || x.Number.Sign() < 0 || x.Number.BitLen() > 159 {
		return nil, broken(RuleEncoding, "a number of at most 20 bytes")
	}
	seen := map[string]bool{}
	for _, e := range x.Extensions {
		if id := e.Id.String(); seen[id] {
			return nil, broken(RuleEncoding, "extension %s twice", id)
		} else {
			seen[id] = true
		}
		if err := l.readExtension(e); err != nil {
			return nil, err
		}
	}
	return l, l.readEntries()
}

func (l *List) readExtension(e pkix.Extension) error {
	switch {
	case e.Id.Equal(oidScope):
		if !e.Critical {
			return broken(RuleEncoding, "issuing distribution point is not critical")
		}
		return l.readScope(e.Value)
	case e.Id.Equal(oidDelta):
		if !e.Critical || !exactly(e.Value, &l.base) || l.base.Sign() < 0 {
			return broken(RuleEncoding, "delta CRL indicator")
		}
	case e.Id.Equal(oidHead):
		if !exactly(e.Value, &l.head) || len(l.head) != sha256.Size {
			return broken(RuleEncoding, "head of the state")
		}
	case e.Critical && !slices.ContainsFunc([]asn1.ObjectIdentifier{oidAuthorityID, oidIssuerName, oidNumber, oidFreshest, oidAccess}, e.Id.Equal):
		return broken(RuleCritical, "%v", e.Id)
	}
	return nil
}

func (l *List) readEntries() error {
	l.reasons = make(map[string]int, len(l.x.RevokedCertificateEntries))
	for i := range l.x.RevokedCertificateEntries {
		e := &l.x.RevokedCertificateEntries[i]
		for _, x := range e.Extensions {
			if x.Id.Equal(oidCertIssuer) {
				return broken(RuleIndirect, "an entry names another issuer")
			}
			if x.Critical && !x.Id.Equal(oidReason) && !x.Id.Equal(oidHold) && !x.Id.Equal(oidInvalidity) {
				return broken(RuleCritical, "of an entry: %v", x.Id)
			}
		}
		if e.ReasonCode == removeFromCRL && l.base == nil {
			return broken(RuleEncoding, "removed from a complete list")
		}
		key := serialKey(e.SerialNumber)
		if _, twice := l.reasons[key]; twice {
			return broken(RuleEncoding, "serial number %x twice", e.SerialNumber)
		}
		l.reasons[key] = e.ReasonCode
		e.Raw, e.Extensions = nil, nil // read; they would keep the list's bytes twice
	}
	return nil
}

// serialKey tells serial numbers apart, negative ones too.
func serialKey(n *big.Int) string {
	return string(append([]byte{byte(n.Sign() + 1)}, n.Bytes()...)) //nolint:gosec // 0, 1 or 2
}

// Number is the list's CRL number. Of a Lares authority it is the epoch.
func (l *List) Number() *big.Int { return new(big.Int).Set(l.x.Number) }

// Base is the number of the complete list that a delta builds on; nil for a complete list.
func (l *List) Base() *big.Int {
	if l.base == nil {
		return nil
	}
	return new(big.Int).Set(l.base)
}

// Head is the hash of the head of the revocation state that a Lares authority
// made the list of; nil when it does not say.
func (l *List) Head() []byte { return bytes.Clone(l.head) }

// Len is how many certificates the list names.
func (l *List) Len() int { return len(l.reasons) }

// Issuer is the issuer's name in DER.
func (l *List) Issuer() []byte { return bytes.Clone(l.x.RawIssuer) }

// Updates are the times from and until which the list holds; next is zero when
// it does not say.
func (l *List) Updates() (this, next time.Time) { return l.x.ThisUpdate, l.x.NextUpdate }

// fresh reports whether the list holds now. One without an end, a zero
// NextUpdate, never does.
func (l *List) fresh(now time.Time) bool {
	return !now.Before(l.x.ThisUpdate) && !now.After(l.x.NextUpdate)
}

// signedBy checks that the very key that issued the certificates signed the
// list. The answer for a key is remembered: a list is long, and paths are many.
func (l *List) signedBy(issuer *x509.Certificate) error {
	if len(l.x.AuthorityKeyId) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(l.x.AuthorityKeyId, issuer.SubjectKeyId) {
		return broken(RuleKey, "")
	}
	if issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return broken(RuleUsage, "")
	}
	if !slices.Contains(algorithms(), l.x.SignatureAlgorithm) {
		return broken(RuleAlgorithm, "%v", l.x.SignatureAlgorithm)
	}
	id := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	err, known := l.held[id]
	if !known {
		if issuer.CheckSignature(l.x.SignatureAlgorithm, l.x.RawTBSRevocationList, l.x.Signature) != nil {
			err = broken(RuleSignature, "")
		}
		l.held[id] = err
	}
	return err
}

// algorithms are those of today; SHA-1, MD5 and DSA are not among them.
func algorithms() []x509.SignatureAlgorithm {
	return []x509.SignatureAlgorithm{
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519,
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
	}
}
