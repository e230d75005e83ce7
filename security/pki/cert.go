package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/lares-drm/lares/internal/wire"
)

// Limits of a chain. Source: local, docs/spec/certificates.md.
const (
	MaxChain = 4    // certificates, root not included
	MaxCert  = 2048 // bytes of one certificate
)

// cert is a parsed certificate whose own content follows the profile. Nothing
// that needs another certificate has been checked.
type cert struct {
	*x509.Certificate
	pos     int // from the leaf
	kind    KeyKind
	member  *member
	roles   []Role
	levels  []Level
	anchors []Anchor
	sltp    *SLTP // nil: the certificate has no such extension
}

// name is how a rejection names the certificate. It echoes numbers only.
func (c *cert) name() string {
	s := "certificate " + strconv.Itoa(c.pos)
	if c.member != nil {
		return fmt.Sprintf("%s (%d/%s)", s, c.kind, c.member.Member)
	}
	return s
}

// read parses one certificate and checks what it says by itself.
func read(der []byte, pos int) (*cert, error) {
	c := &cert{pos: pos}
	if len(der) > MaxCert {
		return nil, broken(c, RuleChain, "%d bytes", len(der))
	}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, broken(c, RuleEncoding, "")
	}
	c.Certificate = x
	if len(x.UnhandledCriticalExtensions) > 0 {
		return nil, broken(c, RuleCritical, "%v", x.UnhandledCriticalExtensions[0])
	}
	if x.SignatureAlgorithm != x509.ECDSAWithSHA256 || !goodP256(x.PublicKey) && !goodRSA(x.PublicKey) {
		return nil, broken(c, RuleAlgorithm, "")
	}
	for _, step := range []func() error{c.readMember, c.readSLTP, c.readRoles, c.readPolicies, c.checkUsage} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func goodP256(pub any) bool {
	key, ok := pub.(*ecdsa.PublicKey)
	return ok && key.Curve == elliptic.P256()
}

// goodRSA: three sizes, and the exponent that everybody has.
func goodRSA(pub any) bool {
	key, ok := pub.(*rsa.PublicKey)
	return ok && key.E == 65537 && slices.Contains([]int{2048, 3072, 4096}, key.N.BitLen())
}

// readMember reads the serial number and the member extension, which must agree.
func (c *cert) readMember() error {
	kind, at, ok := SplitSerial(c.SerialNumber)
	if !ok {
		return broken(c, RuleSerial, "")
	}
	c.kind = kind
	for _, e := range c.Extensions {
		if !e.Id.Equal(memberOID) {
			continue
		}
		m, err := parseMember(e.Value)
		if err != nil {
			return broken(c, RuleMember, "%w", err)
		}
		if e.Critical {
			return broken(c, RuleMember, "marked critical")
		}
		if m.Member != at {
			return broken(c, RuleSerial, "serial number and member extension differ")
		}
		c.member = m
	}
	if c.member == nil {
		return broken(c, RuleMember, "absent")
	}
	if (c.member.Range != nil) != c.IsCA {
		return broken(c, RuleRange, "a CA has a class range, nobody else does")
	}
	return nil
}

func (c *cert) readRoles() error {
	if len(c.ExtKeyUsage) > 0 {
		return broken(c, RuleRole, "foreign extended key usage")
	}
	for _, id := range c.UnknownExtKeyUsage {
		r, ok := roleOf(id)
		if !ok {
			return broken(c, RuleRole, "foreign extended key usage")
		}
		c.roles = append(c.roles, r)
	}
	return nil
}

func (c *cert) readPolicies() error {
	var ok bool
	if c.levels, c.anchors, ok = policiesOf(c.Policies); !ok || len(c.PolicyMappings) > 0 {
		return broken(c, RulePolicy, "foreign policy")
	}
	return nil
}

// checkUsage holds the key usage against the key kind.
func (c *cert) checkUsage() error {
	want := c.kind.usage()
	if (c.kind == KindRSA) != goodRSA(c.PublicKey) {
		return broken(c, RuleAlgorithm, "not a key of kind %d", c.kind)
	}
	if !c.BasicConstraintsValid {
		return broken(c, RuleCA, "absent")
	}
	if c.IsCA {
		want = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if c.kind != KindSigning {
			return broken(c, RuleKind, "a CA key signs")
		}
		if c.MaxPathLen < 0 {
			return broken(c, RulePathLength, "absent")
		}
	}
	if c.KeyUsage != want {
		return broken(c, RuleKeyUsage, "")
	}
	return nil
}

// usage is the key usage of an end entity's key.
func (k KeyKind) usage() x509.KeyUsage {
	switch k {
	case KindECDH:
		return x509.KeyUsageKeyAgreement
	case KindRSA:
		return x509.KeyUsageKeyEncipherment
	case KindSigning:
	}
	return x509.KeyUsageDigitalSignature
}

// constrainsNames reports whether the certificate says which names may stand below it.
func (c *cert) constrainsNames() bool {
	return slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(nameConstraintsOID) })
}

func (c *cert) checkTime(now time.Time) error {
	if now.Before(c.NotBefore) {
		return broken(c, RuleValidity, "not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	if now.After(c.NotAfter) {
		return broken(c, RuleValidity, "expired on %s", c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// Serial is the serial number of a certificate: kind ‖ class ‖ index, 9 bytes.
// Source: docs/spec/certificates.md.
func Serial(kind KeyKind, m Member) *big.Int {
	b := binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(m.Class))
	b = binary.BigEndian.AppendUint32(b, m.Index)
	return new(big.Int).SetBytes(b)
}

// SplitSerial reads a serial number; ok is false for one that is not of the profile.
func SplitSerial(n *big.Int) (KeyKind, Member, bool) {
	if n.Sign() <= 0 || n.BitLen() <= 64 || n.BitLen() > 66 {
		return 0, Member{}, false
	}
	r := wire.NewReader(n.Bytes())
	kind, class, index := KeyKind(r.U8()), Class(r.U32()), r.U32()
	return kind, Member{Class: class, Index: index}, kind >= KindSigning && kind <= KindRSA && r.End() == nil
}
