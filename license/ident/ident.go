package ident

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ErrID is returned for bytes or text that are not an ID of the wanted kind.
var ErrID = errors.New("ident: not a valid ID")

// MaxOpaque is the longest content, issuer or user ID in bytes. Source: local, docs/spec/license.md.
const MaxOpaque = 64

// Size is the length in bytes of every fixed ID. Source: local, docs/spec/license.md.
const Size = 16

type (
	// License is a license ID, random, chosen by the license issuer.
	License [Size]byte
	// Key is a key ID (KID) of ISO/IEC 23001-7.
	Key [Size]byte
	// Device names a TREM: the first 16 bytes of SHA-256 of the SPKI of its
	// signing key. Frame addresses are of the same form.
	Device [Size]byte
	// Domain is a domain ID, random, or a pairwise domain ID, derived per issuer.
	Domain [Size]byte
	// User is a pairwise user ID.
	User [Size]byte
	// Request makes a request idempotent (req_id).
	Request [Size]byte
	// Incarnation is a TREM store's birth, random; new after a restore.
	Incarnation [8]byte
)

// Content is a content ID, chosen by the content provider: 1 to MaxOpaque bytes.
type Content string

// Issuer is a permission issuer ID: 1 to MaxOpaque bytes, asserted by the
// issuer's certificate.
type Issuer string

// Transfer is a tid: who moves to whom, in which incarnation of the source,
// and the sequence number of this ordered pair.
type Transfer struct {
	_           struct{} `cbor:",toarray"`
	Src, Dst    Device
	Incarnation Incarnation
	Seq         uint64 // from 1
}

// NewLicense returns a random license ID.
func NewLicense() License { return License(random()) }

// NewDomain returns a random domain ID.
func NewDomain() Domain { return Domain(random()) }

// NewKey returns a random key ID.
func NewKey() Key { return Key(random()) }

// NewRequest returns a random request ID.
func NewRequest() Request { return Request(random()) }

// NewIncarnation returns a random incarnation.
func NewIncarnation() Incarnation {
	b := random()
	return Incarnation(b[:8])
}

// DeviceOf derives the device ID from a DER SubjectPublicKeyInfo.
func DeviceOf(spki []byte) Device {
	h := sha256.Sum256(spki)
	return Device(h[:Size])
}

func random() (b [Size]byte) {
	rand.Read(b[:])
	return b
}

func (id License) String() string     { return hex.EncodeToString(id[:]) }
func (id Device) String() string      { return hex.EncodeToString(id[:]) }
func (id Domain) String() string      { return hex.EncodeToString(id[:]) }
func (id User) String() string        { return hex.EncodeToString(id[:]) }
func (id Request) String() string     { return hex.EncodeToString(id[:]) }
func (id Incarnation) String() string { return hex.EncodeToString(id[:]) }

// String prints a KID as players and manifests write it: a UUID.
func (id Key) String() string {
	s := hex.EncodeToString(id[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

func (id Transfer) String() string {
	return fmt.Sprintf("%.4x>%.4x/%.4x/%d", id.Src[:], id.Dst[:], id.Incarnation[:], id.Seq)
}

func (id Content) String() string { return printable(string(id)) }
func (id Issuer) String() string  { return printable(string(id)) }

// MarshalBinary makes the ID a byte string on the wire.
func (id Content) MarshalBinary() ([]byte, error) { return opaque(string(id)) }

// MarshalBinary makes the ID a byte string on the wire.
func (id Issuer) MarshalBinary() ([]byte, error) { return opaque(string(id)) }

// UnmarshalBinary accepts 1 to MaxOpaque bytes.
func (id *Content) UnmarshalBinary(b []byte) error {
	b, err := opaque(string(b))
	*id = Content(b)
	return err
}

// UnmarshalBinary accepts 1 to MaxOpaque bytes.
func (id *Issuer) UnmarshalBinary(b []byte) error {
	b, err := opaque(string(b))
	*id = Issuer(b)
	return err
}

func opaque(s string) ([]byte, error) {
	if s == "" || len(s) > MaxOpaque {
		return nil, ErrID
	}
	return []byte(s), nil
}

// printable gives text IDs as they are and others in hexadecimal.
func printable(s string) string {
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return "0x" + hex.EncodeToString([]byte(s))
		}
	}
	return s
}

// MarshalText prints the ID for JSON.
func (id License) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText prints the incarnation for JSON.
func (id Incarnation) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (id *Incarnation) UnmarshalText(s []byte) error { return parse(id[:], string(s)) }

// MarshalText prints the ID for JSON.
func (id Device) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText prints the ID for JSON.
func (id Domain) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText prints the ID for JSON.
func (id Key) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText prints the ID for JSON.
func (id Content) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText prints the ID for JSON.
func (id Issuer) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText prints the ID for JSON.
func (id Request) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (id *License) UnmarshalText(s []byte) error { return parse(id[:], string(s)) }

// UnmarshalText reads what MarshalText prints.
func (id *Device) UnmarshalText(s []byte) error { return parse(id[:], string(s)) }

// UnmarshalText reads what MarshalText prints.
func (id *Domain) UnmarshalText(s []byte) error { return parse(id[:], string(s)) }

// UnmarshalText reads what MarshalText prints.
func (id *Request) UnmarshalText(s []byte) error { return parse(id[:], string(s)) }

// UnmarshalText reads a UUID or 32 hexadecimal digits.
func (id *Key) UnmarshalText(s []byte) error {
	return parse(id[:], strings.ReplaceAll(string(s), "-", ""))
}

// UnmarshalText reads what MarshalText prints.
func (id *Content) UnmarshalText(s []byte) error {
	b, err := parseOpaque(string(s))
	*id = Content(b)
	return err
}

// UnmarshalText reads what MarshalText prints.
func (id *Issuer) UnmarshalText(s []byte) error {
	b, err := parseOpaque(string(s))
	*id = Issuer(b)
	return err
}

func parse(dst []byte, s string) error {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(dst) {
		return ErrID
	}
	copy(dst, b)
	return nil
}

func parseOpaque(s string) (string, error) {
	if h, ok := strings.CutPrefix(s, "0x"); ok {
		b, err := hex.DecodeString(h)
		if err != nil {
			return "", ErrID
		}
		s = string(b)
	}
	b, err := opaque(s)
	return string(b), err
}
