package home

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// NonceSize is the length of a pairing nonce in bytes. Source: local, docs/spec/pairing.md.
const NonceSize = 16

// codeAlphabet has no I, L, O and U, which are misread. Source: Crockford's
// base 32, as described at crockford.com/base32.html.
const codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// PairingFacts are what a pairing code is bound to: SHA-256 of both sides'
// DER SubjectPublicKeyInfo and the nonce of each.
type PairingFacts struct {
	DeviceKey, HomeKey     [32]byte
	DeviceNonce, HomeNonce [NonceSize]byte
}

// Code derives the 8 characters that both sides show, as XXXX-XXXX: the first
// 40 bits of SHA-256("lares/1/pair" ‖ device key ‖ home key ‖ device nonce ‖
// home nonce). Source: local, docs/spec/pairing.md.
func (f PairingFacts) Code() string {
	h := sha256.New()
	h.Write([]byte("lares/1/pair"))
	h.Write(f.DeviceKey[:])
	h.Write(f.HomeKey[:])
	h.Write(f.DeviceNonce[:])
	h.Write(f.HomeNonce[:])
	return codeOf(binary.BigEndian.Uint64(h.Sum(nil)))
}

// SetupCode draws the code that guards a new house: 8 characters as in pairing.
func SetupCode() string {
	var b [8]byte
	rand.Read(b[:]) // never returns an error
	return codeOf(binary.BigEndian.Uint64(b[:]))
}

// codeOf spells the upper 40 bits.
func codeOf(bits uint64) string {
	bits >>= 24
	var code [9]byte
	for i := 8; i >= 0; i-- {
		if i == 4 {
			code[i] = '-'
			continue
		}
		code[i] = codeAlphabet[bits&31]
		bits >>= 5
	}
	return string(code[:])
}

// Commit hides a device's nonce until the home server has chosen its own:
// SHA-256("lares/1/pair-commit" ‖ nonce). Without it somebody in between could
// try nonces until two codes are equal.
func Commit(nonce [NonceSize]byte) [32]byte {
	return sha256.Sum256(append([]byte("lares/1/pair-commit"), nonce[:]...))
}

// NormalCode reads a code as people type it: any case, with or without spaces
// and hyphens, O for 0, I and L for 1. It returns "" for what is no code.
func NormalCode(typed string) string {
	var b strings.Builder
	for _, r := range strings.ToUpper(typed) {
		switch r {
		case ' ', '-':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if !strings.ContainsRune(codeAlphabet, r) {
			return ""
		}
		if b.Len() == 4 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	if b.Len() != 9 {
		return ""
	}
	return b.String()
}
