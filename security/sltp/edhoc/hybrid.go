package edhoc

import (
	"crypto"
	"crypto/ecdh"
	"crypto/mlkem"
	"fmt"
	"slices"
)

// Lengths in bytes of the halves of a share of SuiteHybrid.
const (
	dhLen   = 32                            // X25519 (RFC 7748), and the x-coordinate of P-256
	ekLen   = mlkem.EncapsulationKeySize768 // 1184 (FIPS 203)
	ctLen   = mlkem.CiphertextSize768       // 1088 (FIPS 203)
	offered = ekLen + dhLen                 // G_X
	answer  = ctLen + dhLen                 // G_Y
	agreed  = mlkem.SharedKeySize + dhLen   // G_XY
)

// hybridShare is the share of SuiteHybrid:
//
//	G_X  = ML-KEM-768 encapsulation key ‖ X25519 public key of the Initiator
//	G_Y  = ML-KEM-768 ciphertext ‖ X25519 public key of the Responder
//	G_XY = ML-KEM shared key ‖ X25519 shared secret
//
// The order is that of X25519MLKEM768 in TLS. G_XY goes into Extract whole, with
// TH_2, which both public halves are hashed into, as the salt: so it stays secret
// while one of the two problems is hard.
type hybridShare struct {
	kem crypto.Decapsulator
	dh  *dhShare
}

// NewHybridShare returns the Initiator's share of SuiteHybrid of an ML-KEM-768
// key and an X25519 key that are held elsewhere.
func NewHybridShare(kem crypto.Decapsulator, key ecdh.KeyExchanger) (Share, error) {
	if len(kem.Encapsulator().Bytes()) != ekLen || key.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("edhoc: keys do not fit %v", SuiteHybrid)
	}
	return &hybridShare{kem, &dhShare{ecdh.X25519(), key}}, nil
}

func freshHybrid(key *ecdh.PrivateKey) (Share, error) {
	kem, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, fmt.Errorf("edhoc: ephemeral key: %w", err)
	}
	return &hybridShare{kem, &dhShare{ecdh.X25519(), key}}, nil
}

// Public is G_X.
func (h *hybridShare) Public() []byte {
	return slices.Concat(h.kem.Encapsulator().Bytes(), h.dh.Public())
}

// Agree is G_XY. A ciphertext that is none gives a secret nobody else has
// (implicit rejection, FIPS 203), so message_2 does not decrypt to anything.
func (h *hybridShare) Agree(gy []byte) ([]byte, error) {
	if h.kem == nil {
		return nil, ErrStep
	}
	if len(gy) != answer {
		return nil, fmt.Errorf("%w: length of G_Y", ErrMalformed)
	}
	ss, err := h.kem.Decapsulate(gy[:ctLen])
	if err != nil {
		return nil, fmt.Errorf("%w: decapsulation", ErrRejected)
	}
	z, err := h.dh.Agree(gy[ctLen:])
	if err != nil {
		clear(ss)
		return nil, err
	}
	return join(ss, z), nil
}

// Close drops the keys. The standard library's cannot be overwritten.
func (h *hybridShare) Close() {
	h.kem = nil
	h.dh.Close()
}

// Encapsulate makes a shared key and the ciphertext that carries it. In
// production it is the method of that name of the key.
type Encapsulate func(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte)

func encapsulate(ek *mlkem.EncapsulationKey768) (shared, ciphertext []byte) {
	return ek.Encapsulate()
}

// AnswerHybrid is the Responder's part of SuiteHybrid: it encapsulates to the
// first half of gx and agrees with the second. An encapsulation key that FIPS
// 203 does not allow, and a secret of zeros, are refused.
func AnswerHybrid(gx []byte, key ecdh.KeyExchanger, enc Encapsulate) (gy, gxy []byte, err error) {
	if len(gx) != offered {
		return nil, nil, fmt.Errorf("%w: length of G_X", ErrMalformed)
	}
	if key.Curve() != ecdh.X25519() {
		return nil, nil, fmt.Errorf("edhoc: key does not fit %v", SuiteHybrid)
	}
	ek, err := mlkem.NewEncapsulationKey768(gx[:ekLen])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: encapsulation key", ErrRejected)
	}
	dh := &dhShare{ecdh.X25519(), key}
	z, err := dh.Agree(gx[ekLen:])
	if err != nil {
		return nil, nil, err
	}
	ss, ct := enc(ek)
	if len(ss) != mlkem.SharedKeySize || len(ct) != ctLen {
		return nil, nil, fmt.Errorf("edhoc: encapsulation gave %d and %d bytes", len(ss), len(ct))
	}
	return slices.Concat(ct, dh.Public()), join(ss, z), nil
}

// join puts both secrets in one and clears the parts.
func join(ss, z []byte) []byte {
	out := append(append(make([]byte, 0, agreed), ss...), z...)
	clear(ss)
	clear(z)
	return out
}
