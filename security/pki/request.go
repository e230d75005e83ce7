package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

// MaxRequest is the longest certificate signing request in bytes. Source: local, docs/spec/certificates.md.
const MaxRequest = 2048

// ErrRequest is returned for a signing request that is malformed, of a key
// other than P-256, or not signed by its own key.
var ErrRequest = errors.New("pki: certificate signing request")

// Module is what a module says of itself in its signing request. The authority
// may believe it, as far as the module's level goes: of SL1, its administrator's word.
type Module struct {
	SVN            uint32 // security version
	Implementation []byte // 1 to MaxImplementation bytes

	// Renews is the SHA-256 of the certificate that the module has for this key;
	// empty of one that has none. A request that names it was made since then.
	Renews []byte
}

type moduleASN1 struct {
	Version        int
	SVN            int64
	Implementation []byte
}

// NewRequest makes a PKCS#10 request (RFC 2986) for the signer's key, with what
// its module says of itself, if anything.
func NewRequest(signer crypto.Signer, m *Module) ([]byte, error) {
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "lares-trem"}}
	if m != nil {
		value, err := asn1.Marshal(moduleASN1{Version: 1, SVN: int64(m.SVN), Implementation: m.Implementation})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRequest, err)
		}
		tmpl.ExtraExtensions = []pkix.Extension{{Id: moduleOID, Value: value}}
		if len(m.Renews) > 0 {
			hash, err := asn1.Marshal(m.Renews)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrRequest, err)
			}
			tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: renewsOID, Value: hash})
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, signer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	_, err = ParseRequest(der)
	return der, err
}

// ParseRequest reads a PKCS#10 request and checks its proof of possession. Only
// the key counts, and what the module says of itself (ModuleOf): names and other
// attributes are ignored, because the authority decides what a certificate says.
func ParseRequest(der []byte) (*ecdsa.PublicKey, error) {
	key, _, err := parseRequest(der)
	return key, err
}

// ModuleOf is what the module says of itself in a request that ParseRequest
// accepts; nil when it says nothing.
func ModuleOf(der []byte) (*Module, error) {
	_, m, err := parseRequest(der)
	return m, err
}

func parseRequest(der []byte) (*ecdsa.PublicKey, *Module, error) {
	if len(der) > MaxRequest {
		return nil, nil, ErrRequest
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil || r.SignatureAlgorithm != x509.ECDSAWithSHA256 || r.CheckSignature() != nil {
		return nil, nil, ErrRequest
	}
	pub, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, nil, ErrRequest
	}
	m, err := moduleIn(r.Extensions)
	return pub, m, err
}

// moduleIn reads the extensions in which a module speaks of itself: crypto/x509
// refuses a request that has one of them twice.
func moduleIn(extensions []pkix.Extension) (m *Module, err error) {
	var renews []byte
	for _, e := range extensions {
		switch {
		case e.Id.Equal(moduleOID):
			if m = parseModule(e.Value); m == nil {
				return nil, fmt.Errorf("%w: module extension", ErrRequest)
			}
		case e.Id.Equal(renewsOID):
			in := derReader{rest: e.Value}
			if renews = in.field(tagOctets); !in.end() || len(renews) != sha256.Size {
				return nil, fmt.Errorf("%w: renews extension", ErrRequest)
			}
		}
	}
	switch {
	case m != nil:
		m.Renews = renews
	case renews != nil:
		return nil, fmt.Errorf("%w: renews extension without that of the module", ErrRequest)
	}
	return m, nil
}

// parseModule reads the extension, or gives nil for anything but its one encoding.
func parseModule(der []byte) *Module {
	r := derReader{rest: der}
	in := derReader{rest: r.field(tagSequence)}
	version := in.u32(tagInteger)
	m := &Module{SVN: in.u32(tagInteger), Implementation: in.field(tagOctets)}
	if !r.end() || !in.end() || version != 1 || len(m.Implementation) < 1 || len(m.Implementation) > MaxImplementation {
		return nil
	}
	return m
}

// SVNOf is the security version in a certificate that is not verified, such as
// one's own.
func SVNOf(der []byte) (uint32, error) {
	c, err := read(der, 0)
	if err != nil {
		return 0, err
	}
	return c.member.SVN, nil
}
