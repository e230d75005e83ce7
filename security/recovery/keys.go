package recovery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/lares-drm/lares/internal/wire"
)

// Labels of the derivations from a code. Source: local, docs/spec/backup.md.
const (
	labelSign = "lares/1/recovery/sign"
	labelSeal = "lares/1/recovery/seal"
)

// Lengths of the public recovery keys in bytes.
const (
	SignKeySize = 65   // a P-256 point, uncompressed (SEC 1, section 2.3.3)
	SealKeySize = 1216 // ML-KEM-768 ‖ X25519, as HPKE's KEM MLKEM768X25519 has it
)

// ErrKey is returned for bytes that are no public recovery key.
var ErrKey = errors.New("recovery: not a recovery key")

// Public is what a house keeps of its code: the key that checks RESTORE, and
// the key that backups are sealed to. The private keys follow from the code only.
type Public struct {
	_    struct{} `cbor:",toarray"`
	Sign []byte   // SignKeySize bytes
	Seal []byte   // SealKeySize bytes
}

// private are the keys of one code, while they are used.
type private struct {
	sign *ecdsa.PrivateKey
	seal hpke.PrivateKey
}

// keys derives both key pairs: HKDF-SHA-256 of the code without salt, the label
// as info. A scalar that is not below the group's order is drawn again with the
// next number, which is not expected to happen (probability 2^-32).
func (c Code) keys() (*private, error) {
	code, err := c.Reveal()
	if err != nil {
		return nil, err
	}
	defer clear(code[:])
	k := new(private)
	for n := byte(0); k.sign == nil; n++ {
		scalar, err := hkdf.Key(sha256.New, code[:], nil, labelSign+string([]byte{n}), 32)
		if err != nil {
			return nil, fmt.Errorf("recovery: %w", err)
		}
		k.sign, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
		clear(scalar)
		if err != nil && n == 255 {
			return nil, fmt.Errorf("recovery: %w", err)
		}
	}
	seed, err := hkdf.Key(sha256.New, code[:], nil, labelSeal, 32)
	if err != nil {
		return nil, fmt.Errorf("recovery: %w", err)
	}
	defer clear(seed)
	if k.seal, err = hpke.MLKEM768X25519().NewPrivateKey(seed); err != nil {
		return nil, fmt.Errorf("recovery: %w", err)
	}
	return k, nil
}

// Public derives the code's public keys.
func (c Code) Public() (Public, error) {
	k, err := c.keys()
	if err != nil {
		return Public{}, err
	}
	point, err := k.sign.PublicKey.Bytes()
	if err != nil {
		return Public{}, fmt.Errorf("recovery: %w", err)
	}
	return Public{Sign: point, Seal: k.seal.PublicKey().Bytes()}, nil
}

func signKey(point []byte) (*ecdsa.PublicKey, error) {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, ErrKey
	}
	return pub, nil
}

// object signs an object with the code's key. It has no certificate: x5t is the
// hash of the point in its place.
func (k *private) object(obj wire.Object, payload []byte) ([]byte, error) {
	point, err := k.sign.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("recovery: %w", err)
	}
	return wire.NewSign1(k.sign, point, obj, payload)
}
