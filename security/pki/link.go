package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
	"github.com/lares-drm/lares/license/ident"
)

// ObjectLink is the signed object by which a module proves to couriers that it is
// behind a link. Source: local, docs/spec/objects.md, docs/spec/lrp.md section 8.
const ObjectLink = wire.Object("link")

// LinkStatement is what it says.
type LinkStatement struct {
	_       struct{} `cbor:",toarray"`
	Version uint8    // 1
	Link    [32]byte // the link's name
	Relay   ident.Device
	Source  ident.Device // the signer
	Hello   [32]byte     // SHA-256 of the HELLO that goes with it, without its proof
}

// Limits of a proof. Source: local, docs/spec/lrp.md section 8.
const (
	maxLinkLeaf      = 2560 // bytes of a certificate
	linkVersion      = 1
	maxLinkStatement = 512 // bytes
)

// ErrLink is returned for a statement that does not hold.
var ErrLink = errors.New("pki: it does not prove who is behind the link")

// SignLink signs a statement with the key whose certificate is leaf, under that
// key's ID.
func SignLink(signer crypto.Signer, leaf []byte, s LinkStatement) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("pki: key of a link: %w", err)
	}
	s.Version, s.Source = linkVersion, ident.DeviceOf(spki)
	payload, err := wire.Marshal(s)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(signer, leaf, ObjectLink, payload)
}

// VerifyLink checks that a statement says what want says, whose source is not
// looked at, and returns the signer's ID. Whether the certificate holds is not asked: an ID is
// the hash of its key, so the key alone decides.
func VerifyLink(leaf, statement []byte, want LinkStatement) (ident.Device, error) {
	if len(leaf) > maxLinkLeaf {
		return ident.Device{}, fmt.Errorf("%w: certificate of %d bytes", ErrLink, len(leaf))
	}
	cert, err := x509.ParseCertificate(leaf)
	if err != nil {
		return ident.Device{}, fmt.Errorf("%w: its certificate cannot be read", ErrLink)
	}
	s, err := wire.ParseSign1(statement, ObjectLink, wire.Limit{Bytes: maxLinkStatement, Items: 16, Depth: 4})
	if err != nil {
		return ident.Device{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	if err := s.Verify(cert.PublicKey); err != nil {
		return ident.Device{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	var got LinkStatement
	if err := wire.Unmarshal(s.Payload, &got, wire.Limit{Bytes: maxLinkStatement, Items: 5, Depth: 1}); err != nil {
		return ident.Device{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	want.Version, want.Source = linkVersion, ident.DeviceOf(cert.RawSubjectPublicKeyInfo)
	if got != want {
		return ident.Device{}, fmt.Errorf("%w: it is of another link, relay, source or HELLO", ErrLink)
	}
	return want.Source, nil
}
