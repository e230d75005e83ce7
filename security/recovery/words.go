package recovery

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// words is the English word list of BIP-39: 2,048 words in alphabetical order,
// each known by its first four letters. Source: bitcoin/bips, bip-0039/english.txt
// (MIT license), SHA-256 of the file
// 2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda.
//
//go:embed words.txt
var words string

// Words is how many words a code has: 256 bits and a checksum of 8, 11 bits a word.
const Words = 24

// Errors of a typed code. None repeats what was typed.
var (
	// ErrWords is returned for a text that is not 24 words of the list.
	ErrWords = errors.New("recovery: not a recovery code")
	// ErrChecksum is returned for 24 words that do not belong together: one was
	// misread, or two were exchanged.
	ErrChecksum = errors.New("recovery: the words do not belong together")
)

// List is the word list, in the order of the numbers that the words stand for.
func List() []string { return strings.Fields(words) }

// encode writes 32 bytes as 24 words: the bytes, then the first byte of their
// SHA-256, cut into groups of 11 bits, most significant first (BIP-39).
func encode(code [CodeSize]byte) []string {
	sum := sha256.Sum256(code[:])
	bits := append(slices.Clone(code[:]), sum[0])
	defer clear(bits)
	list := List()
	out := make([]string, 0, Words)
	acc, n := uint32(0), 0
	for _, b := range bits {
		acc, n = acc<<8|uint32(b), n+8
		if n >= 11 {
			n -= 11
			out = append(out, list[acc>>n&2047])
		}
	}
	return out
}

// decode reads what encode writes, in any case and spacing; the first four
// letters of a word are enough, because no two words share them.
func decode(typed string) (code [CodeSize]byte, err error) {
	fields := strings.Fields(strings.ToLower(typed))
	if len(fields) != Words {
		return code, fmt.Errorf("%w: %d words, there must be %d", ErrWords, len(fields), Words)
	}
	list := List()
	var bits []byte
	defer func() { clear(bits) }()
	acc, n := uint32(0), 0
	for i, w := range fields {
		at, ok := find(list, w)
		if !ok {
			return code, fmt.Errorf("%w: word %d is not on the list", ErrWords, i+1)
		}
		for acc, n = acc<<11|uint32(at), n+11; n >= 8; { //nolint:gosec // below 2,048
			n -= 8
			bits = append(bits, byte(acc>>n)) //nolint:gosec // the low eight bits
		}
	}
	copy(code[:], bits)
	if sum := sha256.Sum256(code[:]); bits[CodeSize] != sum[0] {
		return [CodeSize]byte{}, ErrChecksum
	}
	return code, nil
}

// find returns the number of a word that is written in full, or by its first
// four letters.
func find(list []string, w string) (int, bool) {
	at, ok := slices.BinarySearch(list, w)
	if !ok && len(w) == 4 && at < len(list) && strings.HasPrefix(list[at], w) {
		ok = true
	}
	return at, ok
}
