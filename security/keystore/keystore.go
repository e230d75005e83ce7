package keystore

import (
	"crypto"
	"crypto/ecdh"
	"errors"
	"fmt"
)

// Role names one of a keystore's key pairs. Source: local, docs/spec/keystore.md.
type Role uint8

// The roles. Both are P-256 keys; neither ever does the other's work.
const (
	// Identity signs: SLTP, receipts, heads, and licenses of a home server.
	Identity Role = 1
	// Delivery agrees on keys (ECDH). It signs one thing only: the request for
	// its own certificate, as proof of possession.
	Delivery Role = 2
)

func (r Role) String() string {
	switch r {
	case Identity:
		return "identity"
	case Delivery:
		return "delivery"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Errors of every backend.
var (
	// ErrUnseal is returned for data that this keystore did not seal, or not
	// with this additional data, or that was changed.
	ErrUnseal = errors.New("keystore: sealed data does not open")
	// ErrExists is returned instead of making an identity over an existing one.
	ErrExists = errors.New("keystore: keys exist already")
	// ErrNone is returned by opening where there are no keys.
	ErrNone = errors.New("keystore: no keys here")
	// ErrRole is returned for a role the contract does not have.
	ErrRole = errors.New("keystore: no such role")
	// ErrDamaged is returned when the keys are there but cannot be read.
	ErrDamaged = errors.New("keystore: keys cannot be read")
	// ErrGone is returned when the token or TPM does not answer, or no longer
	// has the keys. It may come back: then the keystore is opened again.
	ErrGone = errors.New("keystore: the token or TPM is gone")
	// ErrPIN is returned for a PIN that the token does not take.
	ErrPIN = errors.New("keystore: the token does not take this PIN")
)

// MaxSealed is the longest data that Seal takes, in bytes. Source: local, docs/spec/keystore.md.
const MaxSealed = 1 << 16

// Keystore holds the key pairs of one module.
type Keystore interface {
	// Signer signs SHA-256 digests with the role's key. Its Sign needs no
	// randomness: the rand argument may be nil. Signatures are ASN.1 DER.
	Signer(role Role) (crypto.Signer, error)
	// KeyExchanger does P-256 ECDH with the role's key. Only Delivery has one.
	KeyExchanger(role Role) (ecdh.KeyExchanger, error)
	// Seal encrypts data, at most MaxSealed bytes, so that only this keystore
	// opens it, given the same additional data. Two seals of the same differ.
	Seal(data, aad []byte) ([]byte, error)
	// Unseal opens what Seal made; otherwise the error is ErrUnseal.
	Unseal(data, aad []byte) ([]byte, error)
	// Level is the security level that the backend can reach: 1 software, 2
	// token, 3 TPM. A certificate may claim less. Source: docs/spec/keystore.md.
	Level() uint8
}

// Anchorer is the further ability of a keystore with a register that can be
// extended but not set back. Of the two kinds of register it is the better: it
// knows what it stands for.
type Anchorer interface {
	// Anchor is the register's value.
	Anchor() (value [32]byte, err error)
	// Extend replaces the value by SHA-256(value ‖ h), as TPM2_NV_Extend does
	// on an index of hash SHA-256, and returns when that is durable.
	Extend(h [32]byte) error
}

// Counter is the further ability of a keystore with a register that counts up
// only, for machines that have no other. Unlike an Anchorer it must be held by
// one process at a time.
type Counter interface {
	// Count is the register's value.
	Count() (n uint64, err error)
	// Increment adds one, as TPM2_NV_Increment does on a counter index, and
	// returns when that is durable.
	Increment() error
}

// Rated is the further ability of a keystore whose register is outside the
// reach of who copies or replaces the machine's disk. Without it a register is
// worth A0.
type Rated interface {
	// AnchorLevel is the anchor level that the register can reach: 0 none, 1
	// household witnesses, 2 non-volatile memory. A certificate may claim less.
	// Source: docs/spec/keystore.md.
	AnchorLevel() uint8
}

// Clock is the further ability of a keystore with a clock that the machine's
// owner cannot set back.
type Clock interface {
	Clock() (Reading, error)
}

// Reading is what a keystore's clock says, as TPM2_ReadClock does. The clock
// runs while the TPM has power: it bounds elapsed time from below, and Resets
// tells two boots apart. The answer is not authenticated.
type Reading struct {
	MS       uint64 // powered-on time since the TPM was cleared, ms; never goes back while Safe
	Resets   uint32 // TPM resets (boots) since the TPM was cleared
	Restarts uint32 // suspends and hibernations since the last reset
	Safe     bool   // no larger MS was reported before; false after a power cut, for at most 2^12 s or so
}
