package edhoc

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
)

// Ephemeral makes the fresh key shares of one exchange. Its form is that of a
// key encapsulation, which Diffie-Hellman fits too (RFC 9528 section 9.4); nil
// in a Config means Fresh. All the randomness of an exchange but that of the
// signer comes through it, so a known-answer test or a secure element is one
// more Ephemeral, made of NewShare, NewHybridShare and AnswerHybrid.
type Ephemeral interface {
	// Offer makes the Initiator's share.
	Offer(s Suite) (Share, error)
	// Answer makes the Responder's share for gx and the shared secret.
	Answer(s Suite, gx []byte) (gy, gxy []byte, err error)
}

// Share is the private half of an offered share. It is used once, and may wait
// for days in between. When it has a method Close(), that is called once it is
// no longer needed, whether it was used or not.
type Share interface {
	// Public is G_X as it goes on the wire.
	Public() []byte
	// Agree returns the shared secret G_XY with the other side's G_Y.
	Agree(gy []byte) ([]byte, error)
}

func closeShare(s Share) {
	if c, ok := s.(interface{ Close() }); ok {
		c.Close()
	}
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
	if p.hybrid {
		return freshHybrid(key)
	}
	return &dhShare{p.curve, key}, nil
}

// Answer makes a new key pair and agrees with gx.
func (Fresh) Answer(s Suite, gx []byte) (gy, gxy []byte, err error) {
	p, ok := s.params()
	if !ok {
		return nil, nil, fmt.Errorf("edhoc: %v is not known", s)
	}
	key, err := p.curve.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("edhoc: ephemeral key: %w", err)
	}
	if p.hybrid {
		return AnswerHybrid(gx, key, encapsulate)
	}
	share := &dhShare{p.curve, key}
	gxy, err = share.Agree(gx)
	return share.Public(), gxy, err
}

// NewShare returns the share of a Diffie-Hellman suite whose private key is
// held elsewhere: in a secure element, or in a known-answer test.
func NewShare(s Suite, key ecdh.KeyExchanger) (Share, error) {
	p, ok := s.params()
	if !ok || p.hybrid || key.Curve() != p.curve {
		return nil, fmt.Errorf("edhoc: key does not fit %v", s)
	}
	return &dhShare{p.curve, key}, nil
}

type dhShare struct {
	curve ecdh.Curve
	key   ecdh.KeyExchanger
}

// Public gives P-256 points by their x-coordinate alone (RFC 9528 section 3.7).
func (d *dhShare) Public() []byte {
	b := d.key.PublicKey().Bytes()
	if d.curve == ecdh.P256() {
		return b[1:33]
	}
	return b
}

// Agree refuses points that are not on the curve and secrets of zeros. A
// KeyExchanger of the standard library does so too; another may not.
func (d *dhShare) Agree(peer []byte) ([]byte, error) {
	if d.key == nil {
		return nil, ErrStep
	}
	pub, err := point(d.curve, peer)
	if err != nil {
		return nil, err
	}
	z, err := d.key.ECDH(pub)
	if err != nil || len(z) != dhLen || subtle.ConstantTimeCompare(z, make([]byte, dhLen)) == 1 {
		return nil, fmt.Errorf("%w: key agreement", ErrRejected)
	}
	return z, nil
}

// Close drops the key. The standard library's cannot be overwritten.
func (d *dhShare) Close() { d.key = nil }

// point reads a share. Which of the two y a P-256 share is given does not
// matter: the shared secret is an x-coordinate. elliptic.UnmarshalCompressed is
// the only way of the standard library to decompress a point in assembly, at a
// fifth of the cost of a key agreement; with math/big it is four times that.
func point(curve ecdh.Curve, b []byte) (*ecdh.PublicKey, error) {
	if len(b) != dhLen {
		return nil, fmt.Errorf("%w: length of the ephemeral key", ErrMalformed)
	}
	if curve == ecdh.P256() {
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
	pub, err := curve.NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: ephemeral key", ErrRejected)
	}
	return pub, nil
}
