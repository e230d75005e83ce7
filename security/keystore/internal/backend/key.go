package backend

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
)

// scalarLen is the length of a P-256 coordinate, and of half a signature, in bytes.
const scalarLen = 32

// PublicKey is the P-256 key of two coordinates, which a TPM may give without
// their leading zeros.
func PublicKey(x, y []byte) (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, padded(x)...), padded(y)...))
}

// padded gives a number its leading zeros back. A longer one than P-256 has
// stays as it is, and is refused by who reads it.
func padded(b []byte) []byte {
	if len(b) >= scalarLen {
		return b
	}
	return append(make([]byte, scalarLen-len(b)), b...)
}

// Signer is a key that Do signs with, elsewhere.
type Signer struct {
	Key *ecdsa.PublicKey
	// Do signs a SHA-256 digest, and gives the two numbers of the signature,
	// big-endian.
	Do func(digest []byte) (r, s []byte, err error)
}

// Public is the public key.
func (s Signer) Public() crypto.PublicKey { return s.Key }

// Sign gives the signature as ASN.1 DER.
func (s Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := Digest(digest, opts); err != nil {
		return nil, err
	}
	r, t, err := s.Do(digest)
	if err != nil {
		return nil, fmt.Errorf("keystore: sign: %w", err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(t)})
}

// Format prints a key without what is in it.
func (s Signer) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[private key]") }

// Digest refuses what is not a SHA-256 digest.
func Digest(digest []byte, opts crypto.SignerOpts) error {
	if opts == nil || opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return errors.New("keystore: only SHA-256 digests are signed")
	}
	return nil
}

// Exchanger is a key that Do exchanges keys with, elsewhere.
type Exchanger struct {
	Key *ecdh.PublicKey
	// Do gives the x coordinate that is shared with a peer's point, which is 4 ‖ x ‖ y.
	Do func(point []byte) (x []byte, err error)
}

// PublicKey is the public key.
func (e Exchanger) PublicKey() *ecdh.PublicKey { return e.Key }

// Curve is P-256.
func (e Exchanger) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH is the x coordinate of the shared point, with its leading zeros.
func (e Exchanger) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	if peer.Curve() != ecdh.P256() {
		return nil, errors.New("keystore: key exchange with another curve")
	}
	x, err := e.Do(peer.Bytes())
	if err == nil && len(x) > scalarLen {
		err = fmt.Errorf("a coordinate of %d bytes", len(x))
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: key exchange: %w", err)
	}
	return padded(x), nil
}

// Format prints a key without what is in it.
func (e Exchanger) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[private key]") }
