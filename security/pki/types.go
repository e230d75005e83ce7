package pki

import (
	"cmp"
	"fmt"
	"strconv"
)

// Role is what a certificate's holder may be. Source: docs/spec/certificates.md; the values are the last arc of the EKU.
type Role uint8

// The roles. Each has its own private EKU.
const (
	ContentProvider Role = 1
	LicenseIssuer   Role = 2
	HomeServer      Role = 3
	Device          Role = 4
	StateSigner     Role = 5 // signs revocation heads
	TimeSigner      Role = 6 // signs time tokens
)

var roleNames = [...]string{"", "content provider", "license issuer", "home server", "device", "state signer", "time signer"}

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r >= ContentProvider && r <= TimeSigner }

func (r Role) String() string {
	if !r.Valid() {
		return "role " + strconv.Itoa(int(r))
	}
	return roleNames[r]
}

// MarshalText prints the role's name for JSON.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a role's name.
func (r *Role) UnmarshalText(s []byte) error {
	for i, name := range roleNames {
		if i > 0 && name == string(s) {
			*r = Role(i)
			return nil
		}
	}
	return fmt.Errorf("pki: %q is no role", s)
}

// Level is a TREM's security level, a certificate policy. Source: docs/spec/certificates.md.
type Level uint8

// The levels.
const (
	SL1 Level = 1 // software
	SL2 Level = 2 // PKCS#11 token
	SL3 Level = 3 // TPM or secure element
)

// Valid reports whether l is one of the levels.
func (l Level) Valid() bool { return l >= SL1 && l <= SL3 }

func (l Level) String() string { return "SL" + strconv.Itoa(int(l)) }

// MarshalText prints the level for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads SL1, SL2 or SL3.
func (l *Level) UnmarshalText(s []byte) error {
	for try := SL1; try <= SL3; try++ {
		if string(s) == try.String() {
			*l = try
			return nil
		}
	}
	return fmt.Errorf("pki: %q is no level", s)
}

// Anchor says what keeps a TREM's vault from being rolled back, a certificate policy. Source: docs/spec/certificates.md.
type Anchor uint8

// The anchors.
const (
	A0 Anchor = 0 // none
	A1 Anchor = 1 // household witnesses
	A2 Anchor = 2 // non-volatile counter
)

// Valid reports whether a is one of the anchors.
func (a Anchor) Valid() bool { return a <= A2 }

func (a Anchor) String() string { return "A" + strconv.Itoa(int(a)) }

// MarshalText prints the anchor for JSON.
func (a Anchor) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads A0, A1 or A2.
func (a *Anchor) UnmarshalText(s []byte) error {
	for try := A0; try <= A2; try++ {
		if string(s) == try.String() {
			*a = try
			return nil
		}
	}
	return fmt.Errorf("pki: %q is no anchor", s)
}

// KeyKind is the first byte of a serial number: what the certified key is for.
type KeyKind uint8

// The key kinds.
const (
	KindSigning KeyKind = 1 // P-256, digitalSignature or keyCertSign
	KindECDH    KeyKind = 2 // P-256, keyAgreement: opens sealed deliveries
	KindRSA     KeyKind = 3 // RSA of 2,048, 3,072 or 4,096 bits, keyEncipherment: RSA key transport, legacy
)

// Class is a class ID: the class numbers its members densely from index 0, and
// revocation lists them as (class, index).
type Class uint32

// MaxClass is the last class ID. Source: local, docs/spec/certificates.md.
const MaxClass Class = 1<<32 - 1

// String prints the class in decimal.
func (c Class) String() string { return strconv.FormatUint(uint64(c), 10) }

// Member is one certified party: a place in its class.
type Member struct {
	Class Class
	Index uint32
}

// String prints class/index in decimal.
func (m Member) String() string {
	return m.Class.String() + "/" + strconv.FormatUint(uint64(m.Index), 10)
}

// Epoch orders revocation states: by signer generation, then by number.
// Source: docs/spec/revocation.md.
type Epoch struct {
	Generation uint64 // raised by a root-signed change of the state signer
	Number     uint64 // from 1; at most the hours from T0 to the head's issue
}

// Compare is -1, 0 or +1 as e is older than, the same as or newer than o.
func (e Epoch) Compare(o Epoch) int {
	return cmp.Or(cmp.Compare(e.Generation, o.Generation), cmp.Compare(e.Number, o.Number))
}

// String prints generation.number.
func (e Epoch) String() string {
	return strconv.FormatUint(e.Generation, 10) + "." + strconv.FormatUint(e.Number, 10)
}
