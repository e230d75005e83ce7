package crl

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Content is what a list is to say.
type Content struct {
	Number     *big.Int  // CRLNumber; of a Lares authority the epoch
	Base       *big.Int  // of a delta: the number of the list that it builds on; nil for a complete list
	ThisUpdate time.Time // seconds count
	NextUpdate time.Time
	CAs        bool   // about CA certificates only (an ARL); otherwise about all others only
	Head       []byte // SHA-256 of the head of the revocation state, or nil
	Entries    []Entry
}

// Entry is one certificate on a list.
type Entry struct {
	Serial  *big.Int
	Reason  int       // CRLReason (RFC 5280 section 5.3.1); 0 is not written, 8 takes it off again, in a delta
	Revoked time.Time // since when; seconds count
}

// ErrContent is returned for a list that nobody may sign.
var ErrContent = errors.New("crl: content")

// Issue signs a list with the key of the CA whose certificates it is about. Its
// issuing distribution point is critical. What is signed is read again, as
// everybody will, before it leaves.
func Issue(ca *x509.Certificate, signer crypto.Signer, c Content) ([]byte, error) {
	if c.Number == nil || c.Number.Sign() < 0 || c.Base != nil && c.Base.Cmp(c.Number) > 0 {
		return nil, fmt.Errorf("%w: numbers", ErrContent)
	}
	extensions, err := c.extensions()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.RevocationList{
		Number: c.Number, ThisUpdate: c.ThisUpdate.UTC().Truncate(time.Second), NextUpdate: c.NextUpdate.UTC().Truncate(time.Second),
		SignatureAlgorithm: x509.ECDSAWithSHA256, ExtraExtensions: extensions,
		RevokedCertificateEntries: make([]x509.RevocationListEntry, len(c.Entries)),
	}
	for i, e := range c.Entries {
		tmpl.RevokedCertificateEntries[i] = x509.RevocationListEntry{SerialNumber: e.Serial, ReasonCode: e.Reason, RevocationTime: e.Revoked.UTC().Truncate(time.Second)}
	}
	der, err := x509.CreateRevocationList(rand.Reader, tmpl, ca, signer)
	if err != nil {
		return nil, fmt.Errorf("crl: sign: %w", err)
	}
	l, err := Parse(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrContent, err)
	}
	return der, l.signedBy(ca)
}

func (c *Content) extensions() (out []pkix.Extension, err error) {
	scope, err := asn1.Marshal(idpASN1{Users: !c.CAs, CAs: c.CAs})
	if err != nil {
		return nil, err
	}
	out = []pkix.Extension{{Id: oidScope, Critical: true, Value: scope}}
	if c.Base != nil {
		base, err := asn1.Marshal(c.Base)
		if err != nil {
			return nil, err
		}
		out = append(out, pkix.Extension{Id: oidDelta, Critical: true, Value: base})
	}
	if c.Head != nil {
		head, err := asn1.Marshal(c.Head)
		if err != nil {
			return nil, err
		}
		out = append(out, pkix.Extension{Id: oidHead, Value: head})
	}
	return out, nil
}
