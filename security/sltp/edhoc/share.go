package edhoc

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
)

// Ephemeral makes the fresh key shares of one exchange. Its form is that of a
// key encapsulation, so that hybrid suites fit it (RFC 9528 section 9.4); nil
// in a Config means Fresh.
type Ephemeral interface {
	// Offer makes the Initiator's share.
	Offer(s Suite) (Share, error)
	// Answer makes the Responder's share for gx and the shared secret.
	Answer(s Suite, gx []byte) (gy, gxy []byte, err error)
}

// Share is the private half of an offered share. It is used once.
type Share interface {
	// Public is G_X as it goes on the wire.
	Public() []byte
	// Agree returns the shared secret G_XY with the other side's G_Y.
	Agree(gy []byte) ([]byte, error)
}

// Fresh is the Ephemeral that draws keys from the system's randomness.
type Fresh struct{}

// Offer makes a new key pair.
func (Fresh) Offer(s Suite) (Share, error) {
	p, ok := s.params()
	if !ok {
		return nil, fmt.Errorf("edhoc: %v is not known", s)
	}
	key, err := p.curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("edhoc: ephemeral key: %w", err)
	}
	return dhShare{p, key}, nil
}

// Answer makes a new key pair and agrees with gx.
func (f Fresh) Answer(s Suite, gx []byte) (gy, gxy []byte, err error) {
	share, err := f.Offer(s)
	if err != nil {
		return nil, nil, err
	}
	gxy, err = share.Agree(gx)
	return share.Public(), gxy, err
}

// NewShare returns the share of a Diffie-Hellman suite whose private key is
// held elsewhere: in a secure element, or in a known-answer test.
func NewShare(s Suite, key ecdh.KeyExchanger) (Share, error) {
	p, ok := s.params()
	if !ok || key.Curve() != p.curve {
		return nil, fmt.Errorf("edhoc: key does not fit %v", s)
	}
	return dhShare{p, key}, nil
}

type dhShare struct {
	p   params
	key ecdh.KeyExchanger
}

// Public gives P-256 points by their x-coordinate alone (RFC 9528 section 3.7).
func (d dhShare) Public() []byte {
	b := d.key.PublicKey().Bytes()
	if d.p.curve == ecdh.P256() {
		return b[1:33]
	}
	return b
}

// Agree refuses points that are not on the curve and secrets of zeros.
func (d dhShare) Agree(peer []byte) ([]byte, error) {
	pub, err := d.p.point(peer)
	if err != nil {
		return nil, err
	}
	z, err := d.key.ECDH(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: key agreement", ErrRejected)
	}
	return z, nil
}

// point reads a share. Which of the two y a P-256 share is given does not
// matter: the shared secret is an x-coordinate.
func (p params) point(b []byte) (*ecdh.PublicKey, error) {
	if len(b) != p.shareLen {
		return nil, fmt.Errorf("%w: length of the ephemeral key", ErrMalformed)
	}
	if p.curve == ecdh.P256() {
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), append([]byte{2}, b...))
		if x == nil {
			return nil, fmt.Errorf("%w: ephemeral key is not on the curve", ErrRejected)
		}
		full := make([]byte, 65)
		full[0] = 4
		x.FillBytes(full[1:33])
		y.FillBytes(full[33:])
		b = full
	}
	pub, err := p.curve.NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: ephemeral key", ErrRejected)
	}
	return pub, nil
}
