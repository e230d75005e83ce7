package issuer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lares-drm/lares/license/ident"
)

// Claim codes. Source: local, docs/spec/claim-code.md.
const (
	codeSymbols = 12 // 11 of 5 bits each, and a check symbol
	// codeAlphabet has no I, L, O and U, which are misread. Source: Crockford's
	// base 32, as described at crockford.com/base32.html.
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	// ClaimPath is where an issuer's claim pages are: ClaimPath + code.
	ClaimPath = "/c/"
	// maxCodeText bounds what is read as a code or as the URL of one, in bytes.
	maxCodeText = 512
)

// ErrMistyped is returned for what is no claim code: a symbol is missing, wrong
// or in another's place.
var ErrMistyped = errors.New("issuer: this is no code: a symbol is missing, wrong or in another's place")

// ClaimCode is a code that its check symbol fits: 12 symbols. The zero ClaimCode
// is none. It is as good as money until it is redeemed and so prints redacted.
type ClaimCode struct{ s string }

// Text is the code without hyphens, as it stands in URLs.
func (c ClaimCode) Text() string { return c.s }

// Grouped is the code as people read it, four symbols and a hyphen at a time.
func (c ClaimCode) Grouped() string { return c.s[:4] + "-" + c.s[4:8] + "-" + c.s[8:] }

// Format keeps codes out of logs.
func (ClaimCode) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[claim code]") }

// ParseClaimCode reads a code as people type it (any case, with or without
// spaces and hyphens, O for 0, I and L for 1), or a URL that ends in one. The
// check symbol finds each wrong symbol and each two that changed places.
func ParseClaimCode(typed string) (ClaimCode, error) {
	if len(typed) > maxCodeText {
		return ClaimCode{}, ErrMistyped
	}
	if i := strings.LastIndex(typed, ClaimPath); i >= 0 {
		typed = typed[i+len(ClaimPath):]
	}
	var b []byte
	for _, r := range strings.ToUpper(typed) {
		switch r {
		case ' ', '-', '\t', '\n', '\r':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if r > 'Z' || !strings.ContainsRune(codeAlphabet, r) || len(b) == codeSymbols {
			return ClaimCode{}, ErrMistyped
		}
		b = append(b, byte(r))
	}
	if len(b) != codeSymbols || checkSymbol(b[:codeSymbols-1]) != b[codeSymbols-1] {
		return ClaimCode{}, ErrMistyped
	}
	return ClaimCode{string(b)}, nil
}

// checkSymbol is the symbol that makes the sum of all symbols, each times a
// power of its own of a primitive element of GF(32), zero. The powers differ, so
// one wrong symbol or two that changed places never cancel out.
func checkSymbol(symbols []byte) byte {
	acc := byte(0)
	for _, s := range symbols {
		acc = times2(acc) ^ byte(strings.IndexByte(codeAlphabet, s)) //nolint:gosec // below 32
	}
	return codeAlphabet[times2(acc)]
}

// times2 multiplies by x in GF(2)[x] modulo x⁵+x²+1.
func times2(a byte) byte {
	a <<= 1
	if a&0x20 != 0 {
		a ^= 0x25
	}
	return a
}

// ClaimKey is what an issuer derives and hashes claim codes with. Who has it and
// the database can make the codes that are not redeemed yet.
type ClaimKey struct {
	_ [0]func()
	b *[32]byte
}

// NewClaimKey takes 32 random bytes.
func NewClaimKey(b []byte) (ClaimKey, error) {
	if len(b) != 32 {
		return ClaimKey{}, errors.New("issuer: a claim key has 32 bytes")
	}
	k := [32]byte(b)
	return ClaimKey{b: &k}, nil
}

// Format keeps the key out of logs.
func (ClaimKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[claim key]") }

// MarshalText refuses.
func (ClaimKey) MarshalText() ([]byte, error) {
	return nil, errors.New("issuer: a claim key is not written")
}

func (k ClaimKey) mac(label string, parts ...[]byte) [32]byte {
	h := hmac.New(sha256.New, k.b[:])
	h.Write([]byte(label))
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

// code is the code of a place in a batch: 55 bits of HMAC-SHA-256 under the
// key, so that an answer that was lost can be given again and no code is kept.
func (k ClaimKey) code(batch BatchID, index uint64) ClaimCode {
	sum := k.mac("lares/1/claim code", batch[:], binary.BigEndian.AppendUint64(nil, index))
	bits := binary.BigEndian.Uint64(sum[:]) >> (64 - 5*(codeSymbols-1))
	var b [codeSymbols]byte
	for i := codeSymbols - 2; i >= 0; i-- {
		b[i] = codeAlphabet[bits&31]
		bits >>= 5
	}
	b[codeSymbols-1] = checkSymbol(b[:codeSymbols-1])
	return ClaimCode{string(b[:])}
}

// CodeHash is what the store knows a claim code by: HMAC-SHA-256 under the claim key.
type CodeHash [32]byte

func (k ClaimKey) hash(c ClaimCode) CodeHash { return k.mac("lares/1/claim hash", []byte(c.s)) }

// grantID is the ID of the grant that a code becomes: one, whatever happens.
func (h CodeHash) grantID() GrantID {
	sum := sha256.Sum256(append([]byte("lares/1/claim grant"), h[:]...))
	return GrantID(sum[:16])
}

// BatchID names claim codes that were made together.
type BatchID [16]byte

func (id BatchID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText prints the ID for JSON.
func (id BatchID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (id *BatchID) UnmarshalText(s []byte) error {
	b, err := hex.DecodeString(string(s))
	if err != nil || len(b) != len(id) {
		return errors.New("issuer: a batch ID is 32 hexadecimal digits")
	}
	*id = BatchID(b)
	return nil
}

// Batch is a number of claim codes for one offer. It keeps the offer as it was:
// who bought a code gets what was on the page.
type Batch struct {
	ID      BatchID `json:"batch"`
	Offer   Offer   `json:"offer"`
	Codes   uint64  `json:"codes"`
	Expires int64   `json:"expires_at"` // Unix ms from which no code is redeemed; 0 = never
	Created int64   `json:"created_at"` // Unix ms
}

// CodeState says what became of a claim code.
type CodeState string

// The states of a claim code.
const (
	CodeOpen     CodeState = "open"
	CodeRedeemed CodeState = "redeemed"
	CodeVoid     CodeState = "void"
)

// CodeCounts is how many codes of a batch are in each state. Open ones cannot be redeemed
// any more when the batch's end has come.
type CodeCounts struct {
	Open     uint64 `json:"open"`
	Redeemed uint64 `json:"redeemed"`
	Void     uint64 `json:"void"`
}

// CodeRow is a claim code as it is kept: not the code.
type CodeRow struct {
	Hash       CodeHash     `json:"-"`
	Batch      BatchID      `json:"batch"`
	Index      uint64       `json:"index"` // in the batch
	State      CodeState    `json:"state"`
	Expires    int64        `json:"expires_at"`            // Unix ms; 0 = never
	Domain     ident.Domain `json:"domain,omitzero"`       // who redeemed it
	Grant      GrantID      `json:"grant,omitzero"`        // what it became
	RedeemedAt int64        `json:"redeemed_at,omitempty"` // Unix ms
}
