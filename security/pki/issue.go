package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/lares-drm/lares/license/ident"
)

// Profile is what a certificate is to say. Zero values mean what they say
// unless a comment gives another meaning.
type Profile struct {
	Name           string  // subject common name; a CA's must be unique within the trust domain
	Role           Role    // of an end entity, or below a CA; 0 for a root
	Kind           KeyKind // 0: KindSigning
	Member         Member
	SVN            uint32
	Implementation []byte
	Interfaces     Interfaces
	Issuer         ident.Issuer
	SLTP           *SLTP     // nil: nothing is said, which means Diffie-Hellman
	Levels         []Level   // exactly one of an end entity; what a CA may grant
	Anchors        []Anchor  // likewise
	CA             *CA       // nil for an end entity
	NotAfter       time.Time // zero: never
}

// CA is the part of a Profile that only CAs have.
type CA struct {
	PathLen int // CAs allowed below it
	Range   Range
}

// Authority is a CA that can sign.
type Authority struct {
	Chain  [][]byte // its certificate first, root not included; empty: it is the root
	Root   []byte
	Signer crypto.Signer
}

// ErrProfile is returned for a profile that no certificate can have.
var ErrProfile = errors.New("pki: profile")

// IssueRoot makes a self-signed root for the signer's key.
func IssueRoot(signer crypto.Signer, p Profile, now time.Time) ([]byte, error) {
	tmpl, err := p.template(signer.Public(), now)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("sign root: %w", err)
	}
	if _, err := NewTrustStore(der); err != nil {
		return nil, fmt.Errorf("lint root: %w", err)
	}
	return der, nil
}

// Issue makes the certificate that p describes for a P-256 key, or, of kind
// KindRSA, for an RSA key. The
// certificate is first signed with a throw-away key and linted; only then does
// the CA sign the same content, and the result is verified to the root.
func Issue(parent *Authority, p Profile, pub crypto.PublicKey, now time.Time) (der []byte, err error) {
	key, err := p.key(pub)
	if err != nil {
		return nil, err
	}
	tmpl, err := p.template(key, now)
	if err != nil {
		return nil, err
	}
	issuer := parent.Root
	if len(parent.Chain) > 0 {
		issuer = parent.Chain[0]
	}
	ca, err := x509.ParseCertificate(issuer)
	if err != nil {
		return nil, fmt.Errorf("read CA certificate: %w", err)
	}
	tbs, err := parent.lint(tmpl, ca, key, now)
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	der, err = x509.CreateCertificate(rand.Reader, tmpl, ca, key, parent.Signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil || !bytes.Equal(signed.RawTBSCertificate, tbs) {
		return nil, errors.New("pki: signed another content than was linted")
	}
	if err := signed.CheckSignatureFrom(ca); err != nil {
		return nil, fmt.Errorf("pki: the CA's key is not its certificate's: %w", err)
	}
	return der, nil
}

// lint signs with a throw-away key and runs every check that Verify makes, but
// for the signature, over the result. It returns the content that may be signed.
func (a *Authority) lint(tmpl, ca *x509.Certificate, pub crypto.PublicKey, now time.Time) (tbs []byte, err error) {
	throwaway, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	fake := *ca
	fake.PublicKey = throwaway.Public()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, &fake, pub, throwaway)
	if err != nil {
		return nil, err
	}
	var path []*cert
	for i, d := range append(append([][]byte{der}, a.Chain...), a.Root) {
		c, err := read(d, i)
		if err != nil {
			return nil, err
		}
		path = append(path, c)
	}
	if path[0].IsCA {
		err = lintCA(path, now)
	} else {
		err = checkPath(path, path[0].kind, now)
	}
	return path[0].RawTBSCertificate, err
}

// lintCA checks a CA certificate against the CAs above it.
func lintCA(path []*cert, now time.Time) error {
	c, root := path[0], len(path)-1
	if len(c.roles) == 0 || len(c.levels) == 0 || len(c.anchors) == 0 {
		return broken(c, RulePolicy, "a CA has roles, levels and anchors to grant")
	}
	if !c.NotAfter.Equal(Never()) {
		return broken(c, RulePeriod, "a CA does not expire")
	}
	for i, ca := range path[1:] {
		if err := checkLink(path[i], ca, i+1 == root); err != nil {
			return err
		}
		if err := ca.checkTime(now); err != nil {
			return err
		}
		if ca.MaxPathLen <= i || ca.MaxPathLen <= c.MaxPathLen {
			return broken(c, RulePathLength, "certificate %d allows %d", ca.pos, ca.MaxPathLen)
		}
		if i+1 == root {
			break
		}
		for _, r := range c.roles {
			for _, l := range c.levels {
				for _, a := range c.anchors {
					if err := checkGrants(&cert{Certificate: c.Certificate, kind: c.kind, member: c.member, roles: []Role{r}, levels: []Level{l}, anchors: []Anchor{a}}, ca); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// template builds the certificate's content for a key.
func (p *Profile) template(pub crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	if p.Name == "" || len(p.Name) > 64 || now.IsZero() {
		return nil, fmt.Errorf("%w: a name of 1 to 64 bytes and a time", ErrProfile)
	}
	kind := p.Kind
	if kind == 0 {
		kind = KindSigning
	}
	m := member{Member: p.Member, SVN: p.SVN, Implementation: p.Implementation, Interfaces: p.Interfaces, Issuer: p.Issuer}
	if p.CA != nil {
		m.Range = &p.CA.Range
	}
	ext, err := m.marshal()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	extensions := []pkix.Extension{{Id: memberOID, Value: ext}}
	if p.SLTP != nil {
		if ext, err = p.SLTP.marshal(); err != nil {
			return nil, fmt.Errorf("%w: suites: %w", ErrProfile, err)
		}
		extensions = append(extensions, pkix.Extension{Id: sltpOID, Value: ext})
	}
	t := &x509.Certificate{
		SerialNumber:          Serial(kind, p.Member),
		Subject:               pkix.Name{CommonName: p.Name},
		NotBefore:             now.Add(-Backdate).UTC().Truncate(time.Second),
		NotAfter:              Never(),
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
		BasicConstraintsValid: true,
		KeyUsage:              kind.usage(),
		ExtraExtensions:       extensions,
	}
	if !p.NotAfter.IsZero() {
		t.NotAfter = p.NotAfter.UTC().Truncate(time.Second)
	}
	if p.Role != 0 {
		t.UnknownExtKeyUsage = []asn1.ObjectIdentifier{p.Role.oid()}
	}
	for _, l := range p.Levels {
		t.Policies = append(t.Policies, l.oid())
	}
	for _, a := range p.Anchors {
		t.Policies = append(t.Policies, a.oid())
	}
	if p.CA != nil {
		t.IsCA, t.MaxPathLen, t.MaxPathLenZero = true, p.CA.PathLen, p.CA.PathLen == 0
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if t.SubjectKeyId, err = keyID(pub); err != nil {
			return nil, err
		}
		if p.Role != 0 {
			t.ExtraExtensions = append(t.ExtraExtensions, policyExtensions()...)
		}
	}
	return t, nil
}

// keyIDLen is the length in bytes of a CA's key identifier, which stands in
// every certificate under it. Source: local, docs/spec/certificates.md; RFC 5280
// section 4.2.1.2 has a method with as many.
const keyIDLen = 8

// keyID is the first half of the device ID that the key would have.
func keyID(pub crypto.PublicKey) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	id := ident.DeviceOf(spki)
	return id[:keyIDLen], nil
}

// policyExtensions makes crypto/x509 demand policies below a CA:
// requireExplicitPolicy 0 and inhibitAnyPolicy 0 (RFC 5280 sections 4.2.1.11
// and 4.2.1.14), which x509.CreateCertificate cannot write.
func policyExtensions() []pkix.Extension {
	return []pkix.Extension{
		{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 0x03, 0x80, 0x01, 0x00}},
		{Id: asn1.ObjectIdentifier{2, 5, 29, 54}, Critical: true, Value: []byte{0x02, 0x01, 0x00}},
	}
}

// key checks that a public key is of the profile's kind.
func (p *Profile) key(pub crypto.PublicKey) (crypto.PublicKey, error) {
	if p.Kind != KindRSA {
		return p256(pub)
	}
	if !goodRSA(pub) {
		return nil, fmt.Errorf("%w: RSA keys of 2048, 3072 or 4096 bits", ErrProfile)
	}
	return pub, nil
}

func p256(pub crypto.PublicKey) (*ecdsa.PublicKey, error) {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	case *ecdh.PublicKey:
		if k.Curve() == ecdh.P256() {
			return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.Bytes())
		}
	}
	return nil, fmt.Errorf("%w: P-256 keys only", ErrProfile)
}
