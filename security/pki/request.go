package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
)

// MaxRequest is the longest certificate signing request in bytes. Source: local, docs/spec/certificates.md.
const MaxRequest = 2048

// ErrRequest is returned for a signing request that is malformed, of a key
// other than P-256, or not signed by its own key.
var ErrRequest = errors.New("pki: certificate signing request")

// ParseRequest reads a PKCS#10 request (RFC 2986) and checks its proof of
// possession. Only the key counts: names and attributes in it are ignored,
// because the authority decides what a certificate says.
func ParseRequest(der []byte) (*ecdsa.PublicKey, error) {
	if len(der) > MaxRequest {
		return nil, ErrRequest
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil || r.SignatureAlgorithm != x509.ECDSAWithSHA256 || r.CheckSignature() != nil {
		return nil, ErrRequest
	}
	pub, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, ErrRequest
	}
	return pub, nil
}
