package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
)

// TrustStore is the set of roots of one or more trust domains. It is immutable.
type TrustStore struct {
	roots []*cert
	pool  *x509.CertPool
}

// ErrNoRoot is returned for a trust store without a root.
var ErrNoRoot = errors.New("pki: a trust store needs a root")

// NewTrustStore reads DER root certificates. A root is self-signed, a CA of
// class 0 with a class range from 0, and carries neither role nor policy.
func NewTrustStore(roots ...[]byte) (*TrustStore, error) {
	if len(roots) == 0 {
		return nil, ErrNoRoot
	}
	s := &TrustStore{pool: x509.NewCertPool()}
	for i, der := range roots {
		c, err := readRoot(der)
		if err != nil {
			return nil, fmt.Errorf("root %d: %w", i, err)
		}
		s.roots = append(s.roots, c)
		s.pool.AddCert(c.Certificate)
	}
	return s, nil
}

// Roots returns the roots in DER.
func (s *TrustStore) Roots() [][]byte {
	var out [][]byte
	for _, c := range s.roots {
		out = append(out, bytes.Clone(c.Raw))
	}
	return out
}

func readRoot(der []byte) (*cert, error) {
	c, err := read(der, 0)
	if err != nil {
		return nil, err
	}
	switch {
	case !c.IsCA:
		return nil, broken(c, RuleCA, "a root is a CA")
	case !bytes.Equal(c.RawIssuer, c.RawSubject):
		return nil, broken(c, RuleTrust, "a root is self-issued")
	case c.member.Class != 0 || c.member.Range.First != 0:
		return nil, broken(c, RuleRange, "a root is of class 0 and its range starts there")
	case len(c.roles) > 0:
		return nil, broken(c, RuleRole, "a root has no role")
	case len(c.Policies) > 0:
		return nil, broken(c, RulePolicy, "a root has no policy")
	case c.CheckSignatureFrom(c.Certificate) != nil:
		return nil, broken(c, RuleSignature, "")
	}
	return c, nil
}

// issuerOf finds the root that c names as its issuer, or nil.
func (s *TrustStore) issuerOf(c *cert) *cert {
	for _, r := range s.roots {
		if bytes.Equal(r.RawSubject, c.RawIssuer) && (len(c.AuthorityKeyId) == 0 || bytes.Equal(r.SubjectKeyId, c.AuthorityKeyId)) {
			return r
		}
	}
	return nil
}
