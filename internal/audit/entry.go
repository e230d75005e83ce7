package audit

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lares-drm/lares/internal/wire"
)

// Limits of an entry and a head, in bytes. Source: local, docs/spec/audit.md.
const (
	maxWord    = 64
	maxSubject = 400
	maxHead    = 512
)

// chainLabel begins what is hashed, so that no hash of anything else is one.
const chainLabel = "lares/1/audit"

// HeadObject is the name of a signed head.
const HeadObject wire.Object = "audit-head"

// Hash is what an entry is known by: SHA-256 over its encoding.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText prints the hash for JSON.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (h *Hash) UnmarshalText(s []byte) error {
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != string(s) {
		return errors.New("audit: a hash is 64 hexadecimal digits")
	}
	*h = Hash(b)
	return nil
}

// Entry is one thing that an operator did.
type Entry struct {
	Seq     uint64 `json:"seq"`     // 1, 2, 3, …
	At      int64  `json:"at"`      // Unix ms
	Actor   string `json:"actor"`   // owner, key:ID, oidc:SUBJECT or issuer
	Action  string `json:"action"`  // such as grant.revoke
	Subject string `json:"subject"` // IDs of what it was done to; never a key, a code or a name of a person
	Prev    Hash   `json:"prev"`    // of the entry before; zeros for the first
}

// Check looks at what a caller filled in.
func (e *Entry) Check() error {
	switch {
	case !word(e.Actor, 1, 2*maxWord), !word(e.Action, 1, maxWord), !word(e.Subject, 0, maxSubject):
		return fmt.Errorf("audit: an entry's words are one line each, of at most %d, %d and %d bytes", 2*maxWord, maxWord, maxSubject)
	case e.At <= 0:
		return errors.New("audit: an entry has no time")
	}
	return nil
}

func word(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// Hash is the entry's place in the chain.
func (e *Entry) Hash() Hash {
	data, err := wire.Marshal([]any{chainLabel, e.Seq, e.At, e.Actor, e.Action, e.Subject, e.Prev[:]})
	if err != nil {
		panic(err) //nolint:forbidigo // strings, numbers and bytes always encode
	}
	return sha256.Sum256(data)
}

// Head says how long the chain was at a time.
type Head struct {
	_    struct{} `cbor:",toarray"`
	Day  string   `json:"day"` // such as 2026-11-28, UTC; empty: the end of an export
	Seq  uint64   `json:"seq"` // of the newest entry; 0: there was none
	Hash Hash     `json:"hash"`
	At   int64    `json:"at"` // Unix ms, when it was signed
}

// Day is the day of a time, as heads name it.
func Day(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateOnly) }

// Sign signs a head with the issuer's audit key.
func (h Head) Sign(key crypto.Signer) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the audit key: %w", err)
	}
	payload, err := wire.Marshal(h)
	if err != nil {
		return nil, err
	}
	return wire.NewSign1(key, spki, HeadObject, payload)
}

// ParseHead reads a signed head and verifies it against an issuer's public audit key.
func ParseHead(data []byte, pub crypto.PublicKey) (h Head, err error) {
	s, err := wire.ParseSign1(data, HeadObject, wire.Limit{Bytes: maxHead})
	if err != nil {
		return h, fmt.Errorf("audit: not a signed head: %w", err)
	}
	if err := s.Verify(pub); err != nil {
		return h, fmt.Errorf("audit: the head's signature does not hold: %w", err)
	}
	if err := wire.Unmarshal(s.Payload, &h, wire.Limit{Bytes: maxHead, Items: 8}); err != nil {
		return h, fmt.Errorf("audit: not a head: %w", err)
	}
	if _, err := time.Parse(time.DateOnly, h.Day); err != nil && h.Day != "" {
		return h, errors.New("audit: the head names no day")
	}
	return h, nil
}
