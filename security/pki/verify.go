package pki

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Verifier turns chains into Peers.
type Verifier struct {
	Trust  *TrustStore // required
	Status Status      // nil: no revocation state is known, nothing is revoked
	Cache  *Cache      // nil: every signature is checked every time
}

// Verify checks a chain (leaf first, root not included) at the trusted time
// now and returns its party, whose role is one of roles (any when none is
// given). The leaf is a signing key's. Every rejection is a *RuleError.
//
// now must not be zero: who has no trusted time passes the floor below which
// time cannot be, such as the build time.
func (v *Verifier) Verify(chain [][]byte, now time.Time, roles ...Role) (*Peer, error) {
	p, err := v.find(chain, KindSigning, now)
	if err != nil {
		return nil, err
	}
	if len(roles) > 0 && !slices.Contains(roles, p.cert.roles[0]) {
		return nil, broken(p.cert, RuleRole, "a %s, want %v", p.cert.roles[0], roles)
	}
	return p, nil
}

// VerifyDelivery checks the certificate of a device's delivery key (kind 2):
// same CA, class, index, role, level and anchor as the peer's signing key.
func (v *Verifier) VerifyDelivery(peer *Peer, leaf []byte, now time.Time) (*ecdh.PublicKey, error) {
	c, err := v.sameDevice(peer, leaf, KindECDH, now)
	if err != nil {
		return nil, err
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, broken(c, RuleAlgorithm, "")
	}
	pub, err := key.ECDH()
	if err != nil {
		return nil, broken(c, RuleAlgorithm, "")
	}
	return pub, nil
}

// VerifyRSA checks the certificate of a device's RSA key (kind 3) in the same way.
func (v *Verifier) VerifyRSA(peer *Peer, leaf []byte, now time.Time) (*rsa.PublicKey, error) {
	c, err := v.sameDevice(peer, leaf, KindRSA, now)
	if err != nil {
		return nil, err
	}
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, broken(c, RuleAlgorithm, "")
	}
	return key, nil
}

// sameDevice checks a certificate of another key of the peer's.
func (v *Verifier) sameDevice(peer *Peer, leaf []byte, kind KeyKind, now time.Time) (*cert, error) {
	if !peer.Verified() {
		return nil, ErrNotVerified
	}
	p, err := v.find(append([][]byte{leaf}, peer.chain[1:]...), kind, now)
	if err != nil {
		return nil, err
	}
	c, want := p.cert, peer.cert
	if c.member.Member != want.member.Member || c.roles[0] != want.roles[0] || c.levels[0] != want.levels[0] || c.anchors[0] != want.anchors[0] {
		return nil, broken(c, RuleSame, "the signing key is %s", want.member.Member)
	}
	return c, nil
}

// find finds a chain in the Cache, or does what work is left.
func (v *Verifier) find(chain [][]byte, kind KeyKind, now time.Time) (*Peer, error) {
	if now.IsZero() {
		return nil, &RuleError{Rule: RuleTime}
	}
	if v.Trust == nil {
		return nil, ErrNoRoot
	}
	if len(chain) < 1 || len(chain) > MaxChain {
		return nil, &RuleError{Rule: RuleChain, Err: fmt.Errorf("%d certificates", len(chain))}
	}
	if v.Cache == nil || slices.ContainsFunc(chain, func(der []byte) bool { return len(der) > MaxCert }) {
		return v.walk(chain, nil, kind, now)
	}
	cas, key := v.Cache.digests(chain, kind)
	if p := v.Cache.find(v, key); p != nil {
		return p, v.again(p.path, now)
	}
	p, err := v.walk(chain, v.Cache.issuers(v, cas), kind, now)
	if err == nil {
		v.Cache.add(v, key, cas, p)
	}
	return p, err
}

// walk does the work: parse, content, relations, signatures, status. Of CAs that
// are known (root last) it does not check the signatures again. The one copy of
// the chain is made here: what is parsed refers to its bytes.
func (v *Verifier) walk(chain [][]byte, known []*cert, kind KeyKind, now time.Time) (*Peer, error) {
	path, check := pathBelow(known, chain[0]), checkLeafSignature
	if path == nil {
		check = v.checkSignatures
		var err error
		if path, err = v.read(chain); err != nil {
			return nil, err
		}
	}
	if err := checkPath(path, kind, now); err != nil {
		return nil, err
	}
	if err := check(path, now); err != nil {
		return nil, err
	}
	if err := v.checkStatus(path); err != nil {
		return nil, err
	}
	return newPeer(path, v.epoch()), nil
}

// read reads a chain and finds the root above it.
func (v *Verifier) read(chain [][]byte) ([]*cert, error) {
	path := make([]*cert, 0, len(chain)+1)
	for i, der := range chain {
		c, err := read(bytes.Clone(der), i)
		if err != nil {
			return nil, err
		}
		path = append(path, c)
	}
	last := path[len(path)-1]
	root := v.Trust.issuerOf(last)
	if root == nil {
		return nil, broken(last, RuleTrust, "no trusted root issued it")
	}
	at := *root
	at.pos = len(path)
	return append(path, &at), nil
}

// pathBelow is a leaf with the CAs above it, which are known; nil when they are
// not, and when the leaf needs more of a look: it is not of the usual form, or it
// bears the name of a CA, and whether a chain comes back to itself is for
// crypto/x509 to judge.
func pathBelow(known []*cert, der []byte) []*cert {
	if known == nil {
		return nil
	}
	leaf := readLeaf(bytes.Clone(der))
	if leaf == nil || slices.ContainsFunc(known, func(ca *cert) bool { return bytes.Equal(ca.RawSubject, leaf.RawSubject) }) {
		return nil
	}
	return append([]*cert{leaf}, known...)
}

// checkLeafSignature checks the one signature below CAs that are known. What else
// crypto/x509 judges is in checkPath, and names are constrained by none of them.
func checkLeafSignature(path []*cert, _ time.Time) error {
	leaf := path[0]
	key, ok := path[1].PublicKey.(*ecdsa.PublicKey)
	sum := sha256.Sum256(leaf.RawTBSCertificate)
	if !ok || !ecdsa.VerifyASN1(key, sum[:], leaf.Signature) {
		return broken(leaf, RuleSignature, "")
	}
	return nil
}

// checkSignatures gives the path to crypto/x509, which must find this very path.
func (v *Verifier) checkSignatures(path []*cert, now time.Time) error {
	cas := x509.NewCertPool()
	for _, c := range path[1 : len(path)-1] {
		cas.AddCert(c.Certificate)
	}
	found, err := path[0].Certificate.Verify(x509.VerifyOptions{
		Roots:               v.Trust.pool,
		Intermediates:       cas,
		CurrentTime:         now,
		KeyUsages:           []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, // private EKUs are ours to nest
		CertificatePolicies: []x509.OID{path[0].levels[0].oid()},
	})
	if err == nil {
		for _, f := range found {
			if slices.EqualFunc(f, path, func(a *x509.Certificate, b *cert) bool { return bytes.Equal(a.Raw, b.Raw) }) {
				return nil
			}
		}
		return broken(path[0], RuleTrust, "another path than the one shown")
	}
	for i, c := range path[:len(path)-1] {
		if c.CheckSignatureFrom(path[i+1].Certificate) != nil {
			return broken(c, RuleSignature, "")
		}
	}
	return broken(path[0], ruleOfX509(err), "%w", err)
}

// ruleOfX509 names the rule behind a refusal of crypto/x509 that our own
// checks did not foresee.
func ruleOfX509(err error) Rule {
	var invalid x509.CertificateInvalidError
	var critical x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &critical):
		return RuleCritical
	case errors.As(err, &invalid) && invalid.Reason == x509.NoValidChains:
		return RulePolicy
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return RuleValidity
	case errors.As(err, &invalid) && invalid.Reason == x509.TooManyIntermediates:
		return RulePathLength
	case errors.As(err, &invalid) && invalid.Reason == x509.NotAuthorizedToSign:
		return RuleCA
	}
	return RuleTrust
}

func (v *Verifier) epoch() Epoch {
	if v.Status == nil {
		return Epoch{}
	}
	return v.Status.Epoch()
}

// checkStatus asks for every certificate of the path, the root too.
func (v *Verifier) checkStatus(path []*cert) error {
	if v.Status == nil {
		return nil
	}
	for _, c := range path {
		if err := v.Status.Check(c.member.Class, c.member.Index, c.member.SVN); err != nil {
			return broken(c, statusRule(err), "%w", err)
		}
	}
	return nil
}
