package cenc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"runtime"
)

// KeySize is the length of a content key in bytes. Source: ISO/IEC 23001-7.
const KeySize = 16

// ContentKey is a title key or a session key. It prints redacted, cannot be
// compared with == and refuses to be marshalled. The zero key is no key.
type ContentKey struct {
	_ [0]func()
	b *hidden
}

// hidden keeps the bytes two pointers away: when fmt meets an unexported field
// it cannot call Format, follows the first pointer for a verb that does not fit
// (%s of an enclosing struct), and prints the second as an address.
type hidden struct{ b *[KeySize]byte }

func newHidden(k *[KeySize]byte) ContentKey { return ContentKey{b: &hidden{k}} }

var errSecret = errors.New("cenc: a content key is never marshalled")

// NewContentKey copies 16 bytes into a key.
func NewContentKey(b []byte) (ContentKey, error) {
	if len(b) != KeySize {
		return ContentKey{}, ErrKey
	}
	k := [KeySize]byte(b)
	return newHidden(&k), nil
}

// GenerateKey returns a random key.
func GenerateKey() ContentKey {
	k := new([KeySize]byte)
	rand.Read(k[:])
	return newHidden(k)
}

// Valid reports whether k holds a key.
func (k ContentKey) Valid() bool { return k.b != nil }

// Reveal copies the key out, for those who seal, check or deliver it.
func (k ContentKey) Reveal() ([KeySize]byte, error) {
	if k.b == nil {
		return [KeySize]byte{}, ErrKey
	}
	return *k.b.b, nil
}

// MoveTo moves the key's bytes into room, for every copy of k, and overwrites
// where they were. The caller leaves room alone until gone is called, which is
// when nobody holds the key any more. It reports whether there was a key.
func (k ContentKey) MoveTo(room *[KeySize]byte, gone func()) bool {
	if k.b == nil {
		return false
	}
	*room = *k.b.b
	clear(k.b.b[:])
	k.b.b = room
	runtime.AddCleanup(k.b, func(gone func()) { gone() }, gone)
	return true
}

// Clear overwrites the key. Every copy of k shares its bytes: they hold zeros then.
func (k ContentKey) Clear() {
	if k.b != nil {
		clear(k.b.b[:])
	}
}

// Equal compares in constant time. No key equals the zero ContentKey.
func (k ContentKey) Equal(o ContentKey) bool {
	return k.b != nil && o.b != nil && subtle.ConstantTimeCompare(k.b.b[:], o.b.b[:]) == 1
}

// Block returns the AES cipher of the key.
func (k ContentKey) Block() (cipher.Block, error) {
	if k.b == nil {
		return nil, ErrKey
	}
	return aes.NewCipher(k.b.b[:])
}

// Format prints the same words whatever the key and the verb.
func (ContentKey) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, "[content key]") }

// MarshalText always fails, and with it encoding/json.
func (ContentKey) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalBinary always fails, and with it encoding/gob and CBOR.
func (ContentKey) MarshalBinary() ([]byte, error) { return nil, errSecret }
